//! Ids that derive from what they name: UUID version 5 (RFC 9562 section 5.5).

use std::fmt::Write as _;

/// The namespace of this program's own ids.
pub const NAMESPACE: [u8; 16] = [
    0x5e, 0x1f, 0x0c, 0x2b, 0x8a, 0x44, 0x5d, 0x0e, 0x9b, 0x37, 0x60, 0xd1, 0x73, 0xac, 0x2e, 0x95,
];

/// SHA-1 is what version 5 prescribes; nothing is proven by these ids.
pub fn uuid_v5(namespace: &[u8; 16], name: &[u8]) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(namespace);
    context.update(name);
    let digest = context.finish();
    let mut bytes = [0u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x50;
    *variant = *variant & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// An id of this program's own, for something of this kind and name in this case.
pub(super) fn own(case: &str, kind: &str, name: &str) -> String {
    uuid_v5(&NAMESPACE, format!("{case}\0{kind}\0{name}").as_bytes())
}

/// The same in the form of version 4, which STIX asks for of all but observables.
pub(super) fn own_v4(case: &str, kind: &str, name: &str) -> String {
    let mut text = own(case, kind, name);
    text.replace_range(14..15, "4");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vector() {
        // RFC 9562 appendix A.4: www.example.com in the DNS namespace.
        let dns = [
            0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4,
            0x30, 0xc8,
        ];
        assert_eq!(
            uuid_v5(&dns, b"www.example.com"),
            "2ed6657d-e927-568b-95e1-2665a8aea6a2"
        );
    }
}
