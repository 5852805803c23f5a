use casework::pack::PackFile;
use model::ContentHash;

use super::*;

struct Shelf(&'static [u8]);

impl Exhibits for Shelf {
    fn open(&mut self, _: &str) -> Result<Box<dyn Read + '_>, PackIoError> {
        Ok(Box::new(self.0))
    }

    fn written(&mut self) -> Result<(), PackIoError> {
        Ok(())
    }
}

fn pack() -> Pack {
    let sha512 = ring::digest::digest(&SHA512, b"abc");
    Pack {
        folder: "CASE-2026-0001".to_owned(),
        files: vec![
            PackFile {
                path: "bagit.txt".to_owned(),
                content: Content::Bytes(b"BagIt-Version: 1.0\n".to_vec()),
            },
            PackFile {
                path: "data/exhibits/EX-1/raw".to_owned(),
                content: Content::Exhibit(ExhibitBytes {
                    exhibit: "EX-1".to_owned(),
                    bytes: 3,
                    sha256: ContentHash::of(b"abc"),
                    sha512: crate::open::hex(sha512.as_ref()),
                }),
            },
        ],
        manifest: ContentHash::of(b""),
        at: Timestamp::from_seconds(1_790_000_000),
    }
}

#[test]
fn folders_and_archives_hold_the_same_and_two_archives_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(&pack(), &mut Shelf(b"abc"), &at("folder"), Form::Folder).unwrap();
    write(&pack(), &mut Shelf(b"abc"), &at("a.zip"), Form::Zip).unwrap();
    write(&pack(), &mut Shelf(b"abc"), &at("b.zip"), Form::Zip).unwrap();
    assert_eq!(
        fs::read(at("a.zip")).unwrap(),
        fs::read(at("b.zip")).unwrap()
    );
    for name in ["folder", "a.zip"] {
        let mut pack = crate::OpenPack::open(&at(name)).unwrap();
        assert_eq!(pack.small("data/exhibits/EX-1/raw").unwrap(), b"abc");
    }
    let again = write(&pack(), &mut Shelf(b"abc"), &at("a.zip"), Form::Zip);
    assert!(matches!(again, Err(PackIoError::Exists { .. })));
}

#[test]
fn what_is_not_as_it_was_taken_does_not_leave() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, form) in [
        (b"abd".as_slice(), Form::Folder),
        (b"ab", Form::Zip),
        (b"abcd", Form::Zip),
    ] {
        let target = dir.path().join("pack");
        let outcome = write(&pack(), &mut Shelf(bytes), &target, form);
        assert!(matches!(outcome, Err(PackIoError::NotAsTaken { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_leftover_of_a_killed_export_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".pack.part")).unwrap();
    fs::write(dir.path().join(".pack.part/x"), "half").unwrap();
    let target = dir.path().join("pack");
    write(&pack(), &mut Shelf(b"abc"), &target, Form::Folder).unwrap();
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["pack"]);
}
