//! BagIt 1.0 (RFC 8493): manifests, tag files, and the spelling of paths in them.

use std::{collections::BTreeMap, fmt::Write as _};

use ring::digest::{SHA256, SHA512, digest};

use model::ContentHash;

use super::{Content, PackFile, words};
use crate::Dossier;

/// Lines of one manifest.
const LINES_MAX: usize = 500_000;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BagError {
    #[error("line {line}: {why}")]
    Line { line: usize, why: &'static str },
    #[error("{path} is listed twice")]
    Twice { path: String },
    #[error("more than {LINES_MAX} lines")]
    TooLong,
    #[error("not UTF-8")]
    NotText,
}

/// Paths with their hashes in lower-case hex.
pub type Manifest = BTreeMap<String, String>;

/// The payload and the tag files as one bag, and the hash of its tag manifest.
pub(super) fn close(
    dossier: &Dossier,
    tool: &str,
    payload: BTreeMap<String, Content>,
    mut tags: BTreeMap<String, Content>,
) -> (Vec<PackFile>, ContentHash) {
    let mut put = |name: &str, text: String| {
        tags.insert(name.to_owned(), Content::Bytes(text.into_bytes()));
    };
    put(
        "bagit.txt",
        "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_owned(),
    );
    put("bag-info.txt", info(dossier, tool, &payload));
    put("manifest-sha256.txt", manifest(&payload, sha256));
    put("manifest-sha512.txt", manifest(&payload, sha512));
    let tag256 = manifest(&tags, sha256);
    let tag512 = manifest(&tags, sha512);
    let hash = ContentHash::of(tag256.as_bytes());
    let last = [
        ("tagmanifest-sha256.txt", tag256),
        ("tagmanifest-sha512.txt", tag512),
    ];
    let files = tags
        .into_iter()
        .chain(payload)
        .chain(last.map(|(name, text)| (name.to_owned(), Content::Bytes(text.into_bytes()))))
        .map(|(path, content)| PackFile { path, content })
        .collect();
    (files, hash)
}

fn info(dossier: &Dossier, tool: &str, payload: &BTreeMap<String, Content>) -> String {
    let bytes: u64 = payload
        .values()
        .map(|content| match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Exhibit(exhibit) => exhibit.bytes,
        })
        .sum();
    let case = &dossier.case;
    let line = |text: &str| words::one_line(text, 500);
    let mut out = String::new();
    for (label, value) in [
        ("Source-Organization", line(&dossier.holder)),
        ("External-Identifier", case.id.clone()),
        ("External-Description", line(&case.title)),
        ("Bagging-Date", words::day(dossier.now)),
        ("Payload-Oxum", format!("{bytes}.{}", payload.len())),
        ("Bag-Software-Agent", line(tool)),
        ("Case-Clock", dossier.now.to_string()),
        ("TLP", format!("TLP:{}", case.tlp.name().to_uppercase())),
        ("PAP", format!("PAP:{}", super::readme::pap(case.pap))),
    ] {
        // An empty value would not read back.
        if !value.is_empty() {
            let _ = writeln!(out, "{label}: {value}");
        }
    }
    out
}

fn manifest(files: &BTreeMap<String, Content>, hash: fn(&Content) -> String) -> String {
    let mut out = String::new();
    for (path, content) in files {
        let _ = writeln!(out, "{}  {}", hash(content), encode_path(path));
    }
    out
}

fn sha256(content: &Content) -> String {
    match content {
        Content::Bytes(bytes) => hex(digest(&SHA256, bytes).as_ref()),
        Content::Exhibit(exhibit) => exhibit.sha256.to_string(),
    }
}

fn sha512(content: &Content) -> String {
    match content {
        Content::Bytes(bytes) => hex(digest(&SHA512, bytes).as_ref()),
        Content::Exhibit(exhibit) => exhibit.sha512.clone(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// RFC 8493 section 2.1.3: CR, LF and percent signs in paths are percent-encoded, nothing else.
pub fn encode_path(path: &str) -> String {
    path.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

pub fn decode_path(text: &str) -> String {
    // Of other percent signs the RFC says nothing; they stand for themselves.
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (c, skip) = match after.get(..2).map(str::to_ascii_uppercase).as_deref() {
            Some("0D") => ('\r', 2),
            Some("0A") => ('\n', 2),
            Some("25") => ('%', 2),
            _ => ('%', 0),
        };
        out.push(c);
        rest = after.get(skip..).unwrap_or_default();
    }
    out + rest
}

/// Reads `manifest-*.txt` and `tagmanifest-*.txt`; `digits` is the length of the hash in hex.
pub fn parse_manifest(bytes: &[u8], digits: usize) -> Result<Manifest, BagError> {
    let text = std::str::from_utf8(bytes).map_err(|_| BagError::NotText)?;
    let mut out = Manifest::new();
    for (number, line) in (1..).zip(text.lines()) {
        if number > LINES_MAX {
            return Err(BagError::TooLong);
        }
        let bad = |why| BagError::Line { line: number, why };
        let (hash, path) = line
            .split_once([' ', '\t'])
            .ok_or_else(|| bad("no hash and path"))?;
        let path = path.trim_start_matches([' ', '\t']);
        // What md5sum writes for binary files.
        let path = decode_path(path.strip_prefix('*').unwrap_or(path));
        if hash.len() != digits || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad("no hash of this manifest's kind"));
        }
        if path.is_empty() {
            return Err(bad("no path"));
        }
        if out
            .insert(path.clone(), hash.to_ascii_lowercase())
            .is_some()
        {
            return Err(BagError::Twice { path });
        }
    }
    Ok(out)
}

/// Reads `bagit.txt` and `bag-info.txt`: labels and values; of a label given twice the last counts.
pub fn parse_tags(bytes: &[u8]) -> Result<BTreeMap<String, String>, BagError> {
    let text = std::str::from_utf8(bytes).map_err(|_| BagError::NotText)?;
    let mut out = BTreeMap::new();
    let mut last: Option<String> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if number > LINES_MAX {
            return Err(BagError::TooLong);
        }
        if line.trim().is_empty() {
            continue;
        }
        // A long value goes on in an indented line.
        if line.starts_with([' ', '\t'])
            && let Some(value) = last.as_ref().and_then(|label| out.get_mut(label))
        {
            let value: &mut String = value;
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (label, value) = line.split_once(':').ok_or(BagError::Line {
            line: number,
            why: "no label",
        })?;
        let label = label.trim().to_owned();
        out.insert(label.clone(), value.trim().to_owned());
        last = Some(label);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_spelled_as_the_rfc_says() {
        let path = "data/a%b\r\nc";
        assert_eq!(encode_path(path), "data/a%25b%0D%0Ac");
        assert_eq!(decode_path(&encode_path(path)), path);
        assert_eq!(decode_path("100% %zz%"), "100% %zz%");
    }

    #[test]
    fn manifests_are_read_strictly() {
        let hash = "a".repeat(64);
        let read = |text: String| parse_manifest(text.as_bytes(), 64);
        let good = read(format!("{hash}  data/x\n{hash} *data/y z\n")).unwrap();
        assert_eq!(good.keys().collect::<Vec<_>>(), ["data/x", "data/y z"]);
        assert!(read(format!("{hash}  data/x\n{hash}  data/x\n")).is_err());
        assert!(read("abc  data/x\n".to_owned()).is_err());
        assert!(read(hash).is_err());
        assert!(parse_manifest(b"\xff", 64).is_err());
    }

    #[test]
    fn tags_go_on_in_indented_lines() {
        let tags = parse_tags(b"A: b\n  c\nD:e\n").unwrap();
        assert_eq!(tags.get("A").map(String::as_str), Some("b c"));
        assert_eq!(tags.get("D").map(String::as_str), Some("e"));
        assert!(parse_tags(b"no label\n").is_err());
    }
}
