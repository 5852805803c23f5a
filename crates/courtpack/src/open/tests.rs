use std::io::{Cursor, Write as _};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        out.start_file(*name, SimpleFileOptions::default()).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

fn open(bytes: Vec<u8>) -> Result<OpenPack, PackIoError> {
    let length = bytes.len() as u64;
    OpenPack::zip(Cursor::new(bytes), length)
}

#[test]
fn a_zip_is_read_with_or_without_a_folder_of_its_own() {
    for top in ["", "CASE-1/"] {
        let names = [format!("{top}bagit.txt"), format!("{top}data/a")];
        let mut pack = open(zipped(&[(&names[0], b"x"), (&names[1], b"abc")])).unwrap();
        assert_eq!(pack.paths().collect::<Vec<_>>(), ["bagit.txt", "data/a"]);
        assert_eq!(pack.small("data/a").unwrap(), b"abc");
        assert_eq!(pack.hashes("data/a").unwrap().bytes, 3);
        assert!(matches!(
            pack.small("data/b"),
            Err(PackIoError::Missing { .. })
        ));
    }
}

#[test]
fn hostile_names_are_refused() {
    for name in [
        "../x",
        "/etc/x",
        "data/../../x",
        "data//x",
        "C:\\x",
        "data\\x",
        "./x",
    ] {
        let error = open(zipped(&[("bagit.txt", b"x"), (name, b"y")])).err();
        assert!(
            matches!(error, Some(PackIoError::Hostile(_))),
            "{name}: {error:?}"
        );
    }
    let beside = zipped(&[("C/bagit.txt", b"x"), ("D/x", b"y")]);
    assert!(matches!(open(beside), Err(PackIoError::Hostile(_))));
}

#[test]
fn links_in_archives_and_folders_are_refused() {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    out.start_file("bagit.txt", SimpleFileOptions::default())
        .unwrap();
    out.add_symlink("data/x", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    let bytes = out.finish().unwrap().into_inner();
    assert!(matches!(open(bytes), Err(PackIoError::Hostile(_))));

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bagit.txt"), "x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("x")).unwrap();
    assert!(matches!(
        OpenPack::open(dir.path()),
        Err(PackIoError::Hostile(_))
    ));
}

#[test]
fn the_same_name_twice_is_refused() {
    // The library writes no name twice, so two names of one length are made one.
    let mut bytes = zipped(&[("bagit.txt", b"x"), ("data/aaa", b"1"), ("data/bbb", b"2")]);
    for at in 0..bytes.len() - 8 {
        if &bytes[at..at + 8] == b"data/bbb" {
            bytes[at..at + 8].copy_from_slice(b"data/aaa");
        }
    }
    let error = open(bytes).err();
    assert!(matches!(error, Some(PackIoError::Hostile(_))), "{error:?}");
}

#[test]
fn bombs_are_refused_before_they_burst() {
    let zeros = vec![0; 300 << 20];
    let bytes = zipped(&[("bagit.txt", b"x"), ("data/zeros", &zeros)]);
    assert!(bytes.len() < 2 << 20);
    let error = open(bytes).err();
    assert!(matches!(error, Some(PackIoError::Hostile(_))), "{error:?}");
}

#[test]
fn torn_archives_are_told_from_whole_ones() {
    let whole = zipped(&[("bagit.txt", b"x"), ("data/a", &[7; 1_000])]);
    for cut in 0..whole.len() {
        let torn = open(whole[..cut].to_vec());
        assert!(torn.is_err(), "{cut} of {} bytes", whole.len());
    }
    // A byte of a file's content changed: the archive's own sum tells.
    let mut spoiled = zipped(&[("bagit.txt", b"abcdefgh")]);
    let at = spoiled.windows(8).position(|w| w == b"abcdefgh");
    if let Some(at) = at {
        spoiled[at] ^= 1;
        assert!(matches!(
            open(spoiled).unwrap().small("bagit.txt"),
            Err(PackIoError::Torn { .. })
        ));
    }
}
