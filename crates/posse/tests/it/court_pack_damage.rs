//! Court packs that somebody changed: each change is found and named, by `posse verify` and by the
//! verifier that the pack carries, also when the lists of hashes were made to fit again.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

use crate::{
    court_pack::{Scene, own_verifier},
    support::{posse, stderr, stdout},
};

/// Whether the one who changed it made the bag's lists fit again.
#[derive(Clone, Copy, PartialEq)]
enum Lists {
    AsTheyWere,
    MadeToFit,
}

struct Damage {
    name: &'static str,
    lists: Lists,
    /// What both verifiers must say.
    found: &'static str,
    make: fn(&Path),
}

fn first_exhibit(pack: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> = fs::read_dir(pack.join("data/exhibits"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    all.sort();
    all[0].clone()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} in {}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// The entry of the first exhibit's acquisition.
fn entry_of(pack: &Path) -> u64 {
    let path = first_exhibit(pack).join("acquisition.json");
    let told: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    told["entry"].as_u64().unwrap()
}

fn each_proof(pack: &Path, from: &str, to: &str) {
    replace(&pack.join("proofs/checkpoint"), from, to);
    for path in outside::files(&pack.join("proofs"), &[".tlog-proof"]) {
        replace(&path, from, to);
    }
}

const DAMAGES: [Damage; 14] = [
    Damage {
        name: "a byte of an exhibit",
        lists: Lists::AsTheyWere,
        found: "was changed",
        make: |pack| flip(&first_exhibit(pack).join("raw"), 5),
    },
    Damage {
        name: "a byte of an exhibit, hidden",
        lists: Lists::MadeToFit,
        found: "is not what was taken in",
        make: |pack| flip(&first_exhibit(pack).join("raw"), 5),
    },
    Damage {
        name: "a file less",
        lists: Lists::AsTheyWere,
        found: "is missing",
        make: |pack| fs::remove_file(pack.join("data/timeline.csv")).unwrap(),
    },
    Damage {
        name: "a file more",
        lists: Lists::AsTheyWere,
        found: "was added",
        make: |pack| fs::write(pack.join("data/more.txt"), "x").unwrap(),
    },
    Damage {
        name: "an exhibit less, hidden",
        lists: Lists::MadeToFit,
        found: "is in no custody.json",
        make: |pack| fs::remove_dir_all(first_exhibit(pack)).unwrap(),
    },
    Damage {
        name: "a step of custody less",
        lists: Lists::MadeToFit,
        found: "is in no custody.json",
        make: |pack| {
            edit(&first_exhibit(pack).join("custody.json"), |v| {
                v["custody"].as_array_mut().unwrap().remove(0);
            });
        },
    },
    Damage {
        name: "another person took it",
        lists: Lists::MadeToFit,
        found: "is not what the ledger entry",
        make: |pack| {
            edit(&first_exhibit(pack).join("acquisition.json"), |v| {
                v["acquisition"]["by"] = "somebody".into();
            });
        },
    },
    Damage {
        name: "a line of an alert",
        lists: Lists::MadeToFit,
        found: "is not what the ledger entry",
        make: |pack| replace(&pack.join("data/alerts.json"), "203.0.113.9", "203.0.113.8"),
    },
    Damage {
        name: "a loss",
        lists: Lists::MadeToFit,
        found: "is not what the ledger entry",
        make: |pack| replace(&pack.join("data/case.json"), "90050", "90060"),
    },
    Damage {
        name: "an entry's content",
        lists: Lists::MadeToFit,
        found: "not what the ledger committed to",
        make: |pack| {
            let path = pack.join(format!("proofs/{}.json", entry_of(pack)));
            replace(&path, "service contract", "service contrast");
        },
    },
    Damage {
        name: "a leaf",
        lists: Lists::MadeToFit,
        found: "is not in the ledger's tree",
        make: |pack| {
            let path = pack.join(format!("proofs/{}.leaf", entry_of(pack)));
            replace(&path, "\"v\":1", "\"v\":2");
        },
    },
    Damage {
        name: "the checkpoint's size",
        lists: Lists::MadeToFit,
        found: "checkpoint is not signed by the ledger's key",
        make: |pack| {
            let note = fs::read_to_string(pack.join("proofs/checkpoint")).unwrap();
            let size = format!("\n{}\n", note.lines().nth(1).unwrap());
            each_proof(pack, &size, "\n9999\n");
        },
    },
    Damage {
        name: "a witness's signature left away",
        lists: Lists::MadeToFit,
        found: "did not sign this state",
        make: |pack| {
            let note = fs::read_to_string(pack.join("proofs/checkpoint")).unwrap();
            let last = format!("{}\n", note.lines().last().unwrap());
            each_proof(pack, &last, "");
        },
    },
    Damage {
        name: "a proof of another entry",
        lists: Lists::MadeToFit,
        found: "its name is another entry's",
        make: |pack| {
            let (one, two) = (
                format!("proofs/{}.tlog-proof", entry_of(pack)),
                format!("proofs/{}.tlog-proof", entry_of(pack) + 1),
            );
            fs::copy(pack.join(two), pack.join(one)).unwrap();
        },
    },
];

type Digest = fn(&[u8]) -> Vec<u8>;

/// Makes the bag's lists fit what is there, as anyone can.
fn make_fit(pack: &Path) {
    let all = outside::files(pack, &[]);
    let name = |path: &Path| path.strip_prefix(pack).unwrap().display().to_string();
    let is_list = |path: &str| path.contains("manifest-");
    let payload: Vec<&PathBuf> = all
        .iter()
        .filter(|p| name(p).starts_with("data/"))
        .collect();
    let bytes: u64 = payload.iter().map(|p| fs::metadata(p).unwrap().len()).sum();
    let info = fs::read_to_string(pack.join("bag-info.txt")).unwrap();
    let info: String = info
        .lines()
        .map(|line| match line.strip_prefix("Payload-Oxum: ") {
            Some(_) => format!("Payload-Oxum: {bytes}.{}\n", payload.len()),
            None => format!("{line}\n"),
        })
        .collect();
    fs::write(pack.join("bag-info.txt"), info).unwrap();
    let list = |paths: &[PathBuf], digest: Digest| {
        paths.iter().fold(String::new(), |mut text, path| {
            for byte in digest(&fs::read(path).unwrap()) {
                write!(text, "{byte:02x}").unwrap();
            }
            writeln!(text, "  {}", name(path)).unwrap();
            text
        })
    };
    let kinds: [(&str, Digest); 2] = [
        ("sha256", |b| Sha256::digest(b).to_vec()),
        ("sha512", |b| Sha512::digest(b).to_vec()),
    ];
    let payload: Vec<PathBuf> = payload.into_iter().cloned().collect();
    for (kind, digest) in kinds {
        let path = pack.join(format!("manifest-{kind}.txt"));
        fs::write(path, list(&payload, digest)).unwrap();
    }
    let mut tags: Vec<PathBuf> = all
        .iter()
        .filter(|p| !name(p).starts_with("data/") && !is_list(&name(p)))
        .cloned()
        .collect();
    tags.extend(["manifest-sha256.txt", "manifest-sha512.txt"].map(|n| pack.join(n)));
    for (kind, digest) in kinds {
        let path = pack.join(format!("tagmanifest-{kind}.txt"));
        fs::write(path, list(&tags, digest)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    for path in outside::files(from, &[]) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

#[test]
fn every_change_is_found_and_named() {
    let scene = Scene::new();
    let whole = scene.export("pack");
    let vkey = scene.said(&["ledger", "key"]).trim().to_owned();
    let flags = [vec!["--key", &vkey], scene.two.flags()].concat();
    // Making the lists fit alone changes nothing that is judged.
    make_fit(&whole);
    assert!(own_verifier(&whole, &flags).0);
    for damage in &DAMAGES {
        let pack = scene.site.path("changed");
        copy(&whole, &pack);
        (damage.make)(&pack);
        if damage.lists == Lists::MadeToFit {
            make_fit(&pack);
        }
        let path = pack.display().to_string();
        let output = posse(&[vec!["verify", &path], flags.clone()].concat());
        let said = stdout(&output) + &stderr(&output);
        assert!(
            !output.status.success() && said.contains("FAILED"),
            "{}: {said}",
            damage.name
        );
        assert!(said.contains(damage.found), "{}: {said}", damage.name);
        // A verifier from elsewhere: the pack's own may have been changed too.
        let script = whole.join("verify/verify.py");
        fs::copy(script, pack.join("verify/verify.py")).unwrap();
        let (good, said) = own_verifier(&pack, &flags);
        assert!(
            !good && said.contains(damage.found),
            "{}: {said}",
            damage.name
        );
        fs::remove_dir_all(&pack).unwrap();
    }
}
