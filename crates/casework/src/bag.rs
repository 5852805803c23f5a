//! The smallest bag that is one (BagIt 1.0, RFC 8493), and a ZIP file that is the same bytes each
//! time: what a referral travels in.

use std::fmt::Write as _;

use model::ContentHash;

const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
/// 1980-01-01, the first day that ZIP knows.
const ZIP_DATE: u16 = 0x21;
const ZIP_VERSION: u16 = 20;
/// Names are UTF-8 (APPNOTE 4.4.4, bit 11).
const ZIP_UTF8: u16 = 1 << 11;

/// Wraps `payload` (names are plain: letters, digits, `.`, `-`, `_`, `/`) into a bag, sorted by
/// path. Gives the SHA-256 of its tag manifest too, which stands for all of it.
pub(crate) fn make(
    payload: Vec<(String, Vec<u8>)>,
    info: &[(&str, &str)],
) -> (Vec<(String, Vec<u8>)>, ContentHash) {
    let bytes: usize = payload.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut about = String::new();
    for (name, value) in info {
        let _ = writeln!(about, "{name}: {value}");
    }
    let _ = writeln!(about, "Payload-Oxum: {bytes}.{}", payload.len());
    let mut files: Vec<_> = payload
        .into_iter()
        .map(|(name, bytes)| (format!("data/{name}"), bytes))
        .collect();
    files.sort();
    let manifest = manifest(&files);
    let mut tags = vec![
        ("bag-info.txt".to_owned(), about.into_bytes()),
        ("bagit.txt".to_owned(), DECLARATION.as_bytes().to_vec()),
        ("manifest-sha256.txt".to_owned(), manifest.into_bytes()),
    ];
    let tagmanifest = self::manifest(&tags).into_bytes();
    let hash = ContentHash::of(&tagmanifest);
    tags.push(("tagmanifest-sha256.txt".to_owned(), tagmanifest));
    files.extend(tags);
    files.sort();
    (files, hash)
}

fn manifest(files: &[(String, Vec<u8>)]) -> String {
    files.iter().fold(String::new(), |mut text, (name, bytes)| {
        let _ = writeln!(text, "{}  {name}", ContentHash::of(bytes));
        text
    })
}

/// The files below one folder as a ZIP file, nothing compressed. `None`: more than ZIP can say
/// without its extensions (4 GiB, 65,535 files).
pub fn zip(folder: &str, files: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in files {
        let name = format!("{folder}/{name}");
        let at = u32::try_from(out.len()).ok()?;
        let mut common = Vec::new();
        for number in [ZIP_VERSION, ZIP_UTF8, 0, 0, ZIP_DATE] {
            common.extend(number.to_le_bytes());
        }
        let size = u32::try_from(bytes.len()).ok()?;
        for number in [crc32fast::hash(bytes), size, size] {
            common.extend(number.to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).ok()?.to_le_bytes());
        // No extra field.
        common.extend([0; 2]);
        out.extend(*b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(bytes);
        directory.extend(*b"PK\x01\x02");
        directory.extend(ZIP_VERSION.to_le_bytes());
        directory.extend(&common);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).ok()?;
    let at = u32::try_from(out.len()).ok()?;
    let size = u32::try_from(directory.len()).ok()?;
    out.extend(directory);
    out.extend(*b"PK\x05\x06");
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0; 2]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bag_names_every_file_and_changes_with_each() {
        let bag = |text: &str| {
            let files = vec![
                ("b.txt".to_owned(), text.as_bytes().to_vec()),
                ("a.txt".to_owned(), b"1".to_vec()),
            ];
            make(files, &[("External-Identifier", "REF-1")])
        };
        let (files, hash) = bag("xyz");
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "bag-info.txt",
                "bagit.txt",
                "data/a.txt",
                "data/b.txt",
                "manifest-sha256.txt",
                "tagmanifest-sha256.txt"
            ]
        );
        let info = String::from_utf8(files[0].1.clone()).unwrap();
        assert_eq!(info, "External-Identifier: REF-1\nPayload-Oxum: 4.2\n");
        assert_eq!(hash, ContentHash::of(&files[5].1));
        assert_ne!(bag("xyy").1, hash);
    }

    #[test]
    fn a_zip_is_the_same_each_time_and_holds_the_names() {
        let files = vec![("data/a.txt".to_owned(), b"hello".to_vec())];
        let zip = || super::zip("REF-1", &files).unwrap();
        assert_eq!(zip(), zip());
        let bytes = zip();
        assert!(bytes.starts_with(b"PK\x03\x04") && bytes.len() == 30 + 46 + 22 + 2 * 16 + 5);
    }
}
