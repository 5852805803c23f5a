//! A court pack as a ZIP file from a stranger.

use std::io::Cursor;

use courtpack::{OpenPack, SMALL_FILE_BYTES_MAX, Trust, verify};

/// What opens is a bag with paths that stay inside; nothing becomes longer than it said; a pack
/// that is not signed proves nothing.
pub fn court_pack(data: &[u8]) {
    let length = data.len() as u64;
    let Ok(mut pack) = OpenPack::zip(Cursor::new(data.to_vec()), length) else {
        return;
    };
    let paths: Vec<String> = pack.paths().map(str::to_owned).collect();
    assert!(paths.is_sorted());
    for path in &paths {
        assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."));
        if let Ok(bytes) = pack.small(path) {
            assert!(bytes.len() as u64 <= SMALL_FILE_BYTES_MAX);
            let hashes = pack.hashes(path).expect("it was read before");
            assert_eq!(hashes.bytes, bytes.len() as u64);
        }
    }
    let (findings, seen) = verify(&mut pack, &Trust::default());
    assert!(findings.mistake.is_some() || !seen.origin.is_empty());
}

/// A pack with an entry that is proven, and smaller things that are none.
pub fn court_pack_seeds() -> Vec<Vec<u8>> {
    use std::io::Write as _;
    let zip = |files: &[(&str, &[u8])]| {
        let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            let options = zip::write::SimpleFileOptions::default();
            let begun = out.start_file(*name, options).map_err(std::io::Error::from);
            begun
                .and_then(|()| out.write_all(bytes))
                .expect("memory does not fail");
        }
        out.finish().expect("memory does not fail").into_inner()
    };
    let bagit = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
    vec![
        zip(&[("bagit.txt", bagit)]),
        zip(&[("C/bagit.txt", bagit), ("C/data/a", b"abc")]),
        zip(&[
            ("bagit.txt", bagit),
            ("bag-info.txt", b"Payload-Oxum: 0.0\n"),
            ("manifest-sha256.txt", b""),
            ("manifest-sha512.txt", b""),
        ]),
        zip(&[("../x", b"y")]),
    ]
}
