//! The kernel's replies over netlink.

use std::time::Duration;

use enforce::fuzzing::{read, written};

/// The bytes are one datagram.
pub fn netlink_reply(data: &[u8]) {
    let found = read(data);
    // A message has at least its header, an element at least its own attribute, in every set.
    assert!(found.messages <= data.len() / 16, "more messages than fit");
    assert!(
        found.elements <= data.len() / 4 * 5,
        "more elements than fit"
    );
    assert!(found.userdata <= data.len(), "more than was there");
    for text in &found.texts {
        assert!(text.chars().count() <= 200, "a text is not bounded");
        assert!(
            !text.contains(char::is_control),
            "a text for the log has control characters"
        );
    }
    assert_eq!(found.misplaced, 0, "a ban read from a set it cannot be in");
    for (first, last, is_ipv4, prefix) in &found.ranges {
        assert!(first <= last, "a range ends before it begins");
        assert!(
            !is_ipv4 || *last <= u128::from(u32::MAX),
            "an IPv4 range beyond IPv4"
        );
        if let Some(prefix) = prefix {
            assert_eq!(prefix.is_ipv4(), *is_ipv4);
        }
    }
    // What was read as a ban is, written again, read as the same ban.
    for (first, last, _, prefix) in found.ranges.iter().take(16) {
        let Some(prefix) = *prefix else { continue };
        let again = read(&written(&[prefix], Some(Duration::from_secs(60))));
        assert!(
            again
                .ranges
                .iter()
                .any(|(f, l, _, p)| (f, l, *p) == (first, last, Some(prefix))),
            "{prefix} does not come back"
        );
    }
}
