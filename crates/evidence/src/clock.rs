//! How right this machine's clock is, as its kernel knows it.

use std::{fs, path::Path};

use model::ClockTruth;

use crate::time_servers::since_boot;

/// Without a word from the kernel nothing is claimed.
const UNKNOWN: &str = "unknown";

/// Asks the kernel now; time servers are not asked here.
pub fn clock_truth() -> ClockTruth {
    let time_zone = time_zone();
    let since_boot_microseconds = u64::try_from(since_boot().as_micros()).ok();
    match kernel() {
        None => ClockTruth {
            synchronised: false,
            offset_microseconds: 0,
            error_bound_microseconds: 0,
            told_by: UNKNOWN.to_owned(),
            time_zone,
            since_boot_microseconds,
            network: None,
        },
        Some((state, told)) => {
            let nanoseconds = told.status & libc::STA_NANO != 0;
            let offset = if nanoseconds {
                told.offset / 1_000
            } else {
                told.offset
            };
            ClockTruth {
                synchronised: state != libc::TIME_ERROR && told.status & libc::STA_UNSYNC == 0,
                offset_microseconds: offset,
                error_bound_microseconds: u64::try_from(told.maxerror).unwrap_or(0),
                told_by: "adjtimex".to_owned(),
                time_zone,
                since_boot_microseconds,
                network: None,
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "rustix has no call that reads the kernel's clock discipline"
)]
fn kernel() -> Option<(libc::c_int, libc::timex)> {
    // SAFETY: all fields of a timex are integers, for which zero is a value.
    let mut told: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: modes of zero only reads; the pointer is to a timex of our own that outlives the
    // call.
    let state = unsafe { libc::adjtimex(&raw mut told) };
    (state >= 0).then_some((state, told))
}

fn time_zone() -> String {
    let link = fs::read_link("/etc/localtime").ok();
    let named = link.as_deref().and_then(|target| {
        let text = target.to_str()?;
        Some(text.rsplit_once("zoneinfo/")?.1.to_owned())
    });
    let file = || {
        let text = fs::read_to_string(Path::new("/etc/timezone")).ok()?;
        Some(text.trim().to_owned()).filter(|zone| !zone.is_empty() && zone.len() < 64)
    };
    named.or_else(file).unwrap_or_else(|| "UTC".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_its_clock() {
        let truth = clock_truth();
        assert_eq!(truth.told_by, "adjtimex");
        assert!(!truth.time_zone.is_empty());
        assert!(truth.since_boot_microseconds > Some(0));
    }
}
