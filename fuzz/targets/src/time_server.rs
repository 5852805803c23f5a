//! Answers of time servers.

use std::time::Duration;

use evidence::sntp::{self, PACKET_BYTES};
use model::Timestamp;

use crate::{NOW, is_part};

/// A knob's worth of bytes says how long the answer took; the rest is the packet, which is tried
/// as it came and as one to our own question, so that the search gets past the number.
pub fn time_server(data: &[u8]) {
    let Some((took, packet)) = data.split_first_chunk::<4>() else {
        return;
    };
    assert!(is_part(packet, data));
    let cookie = *b"question";
    let came = NOW.plus(Duration::from_micros(u32::from_be_bytes(*took).into()));
    one(packet, cookie, came);
    let mut ours = packet.to_vec();
    if let Some(origin) = ours.get_mut(24..32) {
        origin.copy_from_slice(&cookie);
        one(&ours, cookie, came);
    }
}

fn one(packet: &[u8], cookie: [u8; 8], came: Timestamp) {
    let answer = match sntp::read(packet, cookie) {
        Ok(answer) => answer,
        Err(e) => return assert!(!e.to_string().is_empty()),
    };
    assert!(packet.len() >= PACKET_BYTES);
    assert_eq!(packet.get(24..32), Some(&cookie[..]), "not our question");
    assert!((1..=15).contains(&answer.stratum));
    assert!(answer.reference.len() <= 8);
    assert!(answer.root_delay / 2 + answer.root_dispersion < Duration::from_secs(16));
    let Ok(measured) = sntp::measure(NOW, came, &answer) else {
        return;
    };
    // The true time of the answer's coming lies within half of the way of what is told.
    let waited = u64::try_from(came.since(NOW).as_micros()).unwrap_or(u64::MAX);
    assert!(measured.delay_microseconds <= waited);
    let told = came.shifted(measured.offset_microseconds);
    let half = Duration::from_micros(measured.delay_microseconds / 2 + 2);
    assert!(told.plus(half) >= answer.sent && told.minus(half) <= answer.sent.plus(half));
}
