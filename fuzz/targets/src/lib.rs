//! What must hold of every parser of outside data, whatever the bytes: one function a parser.
//!
//! `fuzz/driver` calls these under libFuzzer; `tests/replay.rs` calls them with every input that
//! was ever of interest. A target fails by a panic. Inputs are text where the parser's are, with
//! sections and knobs as the target's own doc says.

mod casework;
mod date;
mod expression;
mod fail2ban;
mod fleet;
mod grok;
mod intel;
mod journal;
mod ledger;
mod line;
mod netlink;
mod pack;
mod rule_yaml;
mod sigma;
mod snapshot;
mod syslog;
mod time_server;

pub use self::{
    casework::{handover_act, person, referral_cut, referral_lines, submission},
    date::date,
    expression::expression,
    fail2ban::fail2ban,
    fleet::{fleet_frame, fleet_frame_seeds, fleet_snapshot, fleet_snapshot_seeds},
    grok::grok,
    intel::{lapi_alert, openc2, warninglist},
    journal::journal_export,
    ledger::{checkpoint, time_stamp, witness},
    line::line,
    netlink::netlink_reply,
    pack::{court_pack, court_pack_seeds},
    rule_yaml::rule_yaml,
    sigma::sigma,
    snapshot::{snapshot, snapshot_seed},
    syslog::syslog,
    time_server::time_server,
};

/// A target: its name, which is also the folder of its corpus, and what to call.
pub type Target = (&'static str, fn(&[u8]));

/// Every target there is.
pub const TARGETS: [Target; 26] = [
    ("checkpoint", checkpoint),
    ("court_pack", court_pack),
    ("date", date),
    ("expression", expression),
    ("fail2ban", fail2ban),
    ("fleet_frame", fleet_frame),
    ("fleet_snapshot", fleet_snapshot),
    ("grok", grok),
    ("handover_act", handover_act),
    ("journal_export", journal_export),
    ("lapi_alert", lapi_alert),
    ("line", line),
    ("netlink_reply", netlink_reply),
    ("openc2", openc2),
    ("person", person),
    ("referral_cut", referral_cut),
    ("referral_lines", referral_lines),
    ("rule_yaml", rule_yaml),
    ("sigma", sigma),
    ("snapshot", snapshot),
    ("submission", submission),
    ("syslog", syslog),
    ("time_server", time_server),
    ("time_stamp", time_stamp),
    ("warninglist", warninglist),
    ("witness", witness),
];

/// "Now" in every target: a target's outcome hangs on its bytes alone.
const NOW: model::Timestamp = model::Timestamp::from_seconds(1_795_291_200);

/// The first byte as a knob, and the rest.
fn knob(data: &[u8]) -> (u8, &[u8]) {
    data.split_first()
        .map_or((0, data), |(knob, rest)| (*knob, rest))
}

/// Whether `part` was borrowed from `whole`, and nothing was read beyond its end.
fn is_part(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty()
        || whole.as_ptr_range().contains(&part.as_ptr()) && {
            let end = part.as_ptr_range().end;
            end <= whole.as_ptr_range().end
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_from_strangers() {
        let whole = b"abcdef".to_vec();
        assert!(is_part(&whole[2..4], &whole));
        assert!(is_part(b"", &whole));
        assert!(!is_part(&whole, &whole[..5]));
        assert!(!is_part(&whole.clone(), &whole));
    }
}
