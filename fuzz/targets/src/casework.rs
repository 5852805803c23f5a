//! Acts of hand-overs as they come from a hub or in a file, texts that a referral is cut from, and
//! heads of exhibits that are sent to a hub.

use std::net::{IpAddr, Ipv4Addr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use casework::{
    Indexed,
    handover::{self, Handover},
    persons::Persons,
    referral::fuzzing::{addresses_in, clean, part},
    submission::{DIGEST_BYTES_MAX, Digests, HEADER_BYTES_MAX, Submission, content_digest},
};
use evidence::person_key::SealedKey;
use model::{HandoverAct, PersonAct};

/// JSON, one act a line: what is taken was signed by the key it names and is written the same, and
/// nothing is received that was not offered.
pub fn handover_act(data: &[u8]) {
    let acts: Vec<HandoverAct> = data
        .split(|b| *b == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    for act in &acts {
        let text = serde_json::to_vec(act).unwrap_or_default();
        let back: Option<HandoverAct> = serde_json::from_slice(&text).ok();
        assert_eq!(back.as_ref(), Some(act));
        if handover::check(act).is_ok() && handover::note(act).is_some() {
            let mut other = act.clone();
            handover::sign(&mut other, "", |text| format!("{text}\nforged\n"));
            assert!(handover::check(&other).is_err());
        }
    }
    if let Ok(sum) = Handover::of(&acts) {
        assert!(matches!(acts.first(), Some(HandoverAct::Offered { .. })));
        assert!(sum.looks <= handover::LOOKS_MAX && acts.len() <= handover::ACTS_MAX);
    }
}

/// Knob 0: enrolments and revocations, one JSON object a line: without a signature that holds
/// nobody but the first is enrolled, and what is refused would be refused again. Else: a key file,
/// which prints as it was read.
pub fn person(data: &[u8]) {
    let (kind, data) = crate::knob(data);
    if kind != 0 {
        let text = String::from_utf8_lossy(data);
        if let Some(key) = SealedKey::parse(&text) {
            assert_eq!(key.to_text(), text);
        }
        return;
    }
    let acts: Vec<Indexed<PersonAct>> = (0..)
        .zip(data.split(|b| *b == b'\n'))
        .filter_map(|(index, line)| {
            let what = serde_json::from_slice(line).ok()?;
            Some(Indexed { index, what })
        })
        .collect();
    // Nobody signed anything for this ledger.
    let persons = Persons::of("fuzz.example/log", &acts);
    assert!(persons.all().len() <= 1 && persons.enrolled().count() <= 1);
    assert!(persons.strays.len() + persons.all().len() == acts.len());
}

/// A line of words to hold back, parted by `|`, and the text: nothing of them is left, and no
/// address but the one that is shown.
pub fn referral_cut(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (words, text) = text.split_once('\n').unwrap_or(("", &text));
    // A word of the mark itself would be found in every gap; the check at the end refuses it.
    let words: Vec<&str> = words
        .split('|')
        .filter(|word| !"[withheld]".contains(&word.trim().to_lowercase()))
        .collect();
    let shown = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let (clean, leak) = clean(&words, shown, text);
    assert_eq!(leak, None, "{clean:?}");
    for address in addresses_in(&clean) {
        assert!(
            address == shown || address.is_unspecified(),
            "{address} in {clean:?}"
        );
    }
}

/// The first byte: a `posse-exhibit` header (0), its JSON (1), or a `Content-Digest`. What is taken
/// names an authority and reads the same when it is written again; only known hashes fit.
pub fn submission(data: &[u8]) {
    let (kind, bytes) = crate::knob(data);
    if kind > 1 {
        let Ok(said) = Digests::read(bytes) else {
            return;
        };
        assert!(bytes.len() <= DIGEST_BYTES_MAX);
        if let Some(sha256) = said.sha256 {
            let sha512 = said.sha512.clone().unwrap_or_default();
            assert!(said.fit(&sha256, &sha512));
            assert!(!said.fit(&model::ContentHash::of(bytes), &sha512));
            let back = Digests::read(content_digest(&sha256).as_bytes()).ok();
            assert_eq!(back.and_then(|back| back.sha256), Some(sha256));
        }
        return;
    }
    let read = match kind {
        0 => Submission::read(bytes),
        _ => Submission::read(STANDARD.encode(bytes).as_bytes()),
    };
    let Ok(read) = read else {
        return;
    };
    assert!(!read.authority.trim().is_empty() && !read.title.trim().is_empty());
    assert!(!read.file_name.chars().any(char::is_control));
    let written = read.write();
    if written.len() <= HEADER_BYTES_MAX {
        assert_eq!(Submission::read(written.as_bytes()), Ok(read));
    }
}

/// A knob, a line of words to hold back as above, and the bytes of an exhibit: what stays and the
/// list of what was cut are the exhibit, and nothing of the words or of others' addresses is left.
pub fn referral_lines(data: &[u8]) {
    let (knob, data) = super::knob(data);
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (words, bytes) = data.split_at(end);
    let words = String::from_utf8_lossy(words);
    let words: Vec<&str> = words.split('|').collect();
    let source = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let (part, leaks) = part(&words, source, knob % 2 == 0, bytes);
    assert!(!leaks, "{:?}", String::from_utf8_lossy(&part.bytes));
    let text = String::from_utf8_lossy(&part.bytes);
    for address in addresses_in(&text) {
        assert!(
            address == source || address.is_unspecified(),
            "{address} in {text:?}"
        );
    }
    let mut again = Vec::new();
    let mut at = 0;
    for cut in &part.redactions {
        let (from, to) = (cut.from as usize, cut.to as usize);
        assert!(
            at <= from && from < to && to <= bytes.len(),
            "{:?}",
            part.redactions
        );
        again.extend_from_slice(&bytes[at..from]);
        let begins = from == 0 || bytes[from - 1] == b'\n';
        let ends = to == bytes.len() || bytes[to - 1] == b'\n';
        if !(begins && ends) {
            again.extend_from_slice(b"[withheld]");
        }
        at = to;
    }
    again.extend_from_slice(&bytes[at..]);
    assert_eq!(again, part.bytes);
}
