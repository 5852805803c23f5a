//! Court packs: made from an attack that a guard recorded, and shown to outsiders.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use ledger::{Checkpoint, VerifyingKey};
use outside::pack_tool;
use serde_json::Value;
use store::Store;

use crate::{
    openlog::{Two, Witness},
    openlog_stamps::{authority, openssl},
    support::{Guard, POSSE, Site, failed_login, posse, stderr, stdout, wait_until},
};

/// A site whose guard recorded an attack, with a case of it.
pub(crate) struct Scene {
    pub(crate) site: Site,
    pub(crate) case: String,
    /// The case's clock.
    pub(crate) at: String,
    pub(crate) two: Two,
    pub(crate) stamped: bool,
    _guard: Guard,
    _witnesses: [Witness; 2],
    _tsa: tempfile::TempDir,
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (site, tsa) = (Site::new(), tempfile::tempdir().unwrap());
        let two = Two::prepare(site.dir.path());
        let port = authority(tsa.path());
        let stamps = port.map_or_else(String::new, |port| {
            format!(
                "stamp_every = \"1d\"\nstamp_authorities = [{{ name = \"test\", \
                 url = \"http://127.0.0.1:{port}/tsr\", ca = {:?} }}]\n",
                tsa.path().join("ca.pem")
            )
        });
        site.configure(&format!(
            "{}{stamps}[console]\nenabled = false\n",
            two.config(site.dir.path())
        ));
        let guard = Guard::start(&site, None, &["--observe"]);
        let vkey = stdout(&site.ask(&["ledger", "key"])).trim().to_owned();
        let witnesses = two.start(&vkey);
        let lines: String = (0..8)
            .map(|n| failed_login("203.0.113.9", 40_000 + n))
            .collect();
        site.append(&lines);
        wait_until("the attack is recorded", || !site.alerts().is_empty());
        let mut scene = Self {
            site,
            case: String::new(),
            at: String::new(),
            two,
            stamped: port.is_some(),
            _guard: guard,
            _witnesses: witnesses,
            _tsa: tsa,
        };
        scene.case = scene.open_case();
        scene.at = scene.confirmed();
        scene
    }

    pub(crate) fn said(&self, words: &[&str]) -> String {
        let output = self.site.ask(words);
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn open_case(&self) -> String {
        let opened = self.said(&[
            "case",
            "open",
            "--json",
            "--by",
            "operator",
            "--title",
            "Password guessing",
            "--authority",
            "service contract",
            "--purpose",
            "network security",
        ]);
        let opened: Value = serde_json::from_str(&opened).unwrap();
        let case = opened["case"].as_str().unwrap().to_owned();
        let alert = self.site.alerts()[0]["alert"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let by = ["--by", "operator"];
        let say = |words: &[&str]| self.said(&[words, &by].concat());
        say(&["case", "add-alerts", &case, &alert, "--reason", "one night"]);
        let config = text(&self.site.config());
        say(&[
            "exhibit",
            "add",
            "--alert",
            &alert,
            "--case",
            &case,
            "--authority",
            "service contract",
            "--config",
            &config,
        ]);
        let file = self.site.path("note 100% \u{e9}.bin");
        fs::write(&file, [0u8, 255, 10, 13].repeat(50_000)).unwrap();
        say(&[
            "exhibit",
            "add",
            &text(&file),
            "--case",
            &case,
            "--authority",
            "service contract",
        ]);
        say(&[
            "case",
            "party",
            &case,
            "--id",
            "v1",
            "--role",
            "victim",
            "--name",
            "Example Hosting",
            "--country",
            "NO",
            "--address",
            "192.0.2.10",
        ]);
        say(&[
            "case",
            "loss",
            &case,
            "--party",
            "v1",
            "--what",
            "staff time",
            "--low",
            "400",
            "--high",
            "900.50",
            "--unit",
            "EUR",
            "--source",
            "time sheet",
            "--method",
            "hours",
        ]);
        say(&["case", "note", &case, "for us alone", "--tlp", "red"]);
        case
    }

    /// Waits until witnesses and the authority have confirmed all of it; the moment after.
    fn confirmed(&self) -> String {
        let store = || Store::open_read_only(&self.site.state()).unwrap();
        let key = VerifyingKey::parse(&store().vkey()).unwrap();
        wait_until("both witnesses have cosigned all there is", || {
            let store = store();
            let note = store.cosigned_checkpoint().unwrap();
            let size = Checkpoint::open(note.as_bytes(), &key).unwrap().size;
            note.matches('\u{2014}').count() == 3 && size == store.size().unwrap()
        });
        if self.stamped {
            let config = text(&self.site.config());
            self.said(&["ledger", "stamp", "--config", &config]);
        }
        jiff::Timestamp::now().to_string()
    }

    pub(crate) fn export(&self, to: &str) -> PathBuf {
        let path = self.site.path(to);
        self.said(&[
            "case",
            "export",
            &self.case,
            "--to",
            &text(&path),
            "--at",
            &self.at,
            "--by",
            "operator",
        ]);
        path
    }
}

fn judged(tool: &str, arguments: &[&str]) {
    let Some(tool) = pack_tool(tool) else { return };
    let output = Command::new(&tool).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}{}",
        tool.display(),
        stdout(&output),
        stderr(&output)
    );
}

/// The pack's own verifier: no site packages, and no network where we may take it away.
pub(crate) fn own_verifier(pack: &Path, arguments: &[&str]) -> (bool, String) {
    let alone = Command::new("unshare")
        .args(["-n", "true"])
        .output()
        .is_ok_and(|o| o.status.success());
    let mut command = if alone {
        let mut command = Command::new("unshare");
        command.args(["-n", "python3"]);
        command
    } else {
        Command::new("python3")
    };
    let output = command
        .args(["-I", "-S"])
        .arg(pack.join("verify/verify.py"))
        .args(arguments)
        .output()
        .unwrap();
    (output.status.success(), stdout(&output) + &stderr(&output))
}

#[test]
fn a_pack_of_a_recorded_attack_convinces_outsiders() {
    let scene = Scene::new();
    let folder = scene.export("pack");
    let (one, two) = (scene.export("one.zip"), scene.export("two.zip"));
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());

    judged("bagit.py", &["--validate", &text(&folder)]);
    let graph = text(&folder.join("data/case.jsonld"));
    judged("case_validate", &["--allow-info", &graph]);
    let bundle = text(&folder.join("data/stix.json"));
    judged("stix2_validator", &["--strict", "--enforce-refs", &bundle]);

    let vkey = scene.said(&["ledger", "key"]).trim().to_owned();
    let flags = [vec!["--key", &vkey], scene.two.flags()].concat();
    let (good, said) = own_verifier(&folder, &flags);
    assert!(good && said.ends_with("OK\n"), "{said}");
    assert!(
        said.contains("The witness ") && !said.contains("no outside witness"),
        "{said}"
    );
    assert!(!said.contains("the key came with the pack"), "{said}");

    let zip = text(&one);
    let output = posse(&[vec!["verify", &zip, "--reproduce"], flags].concat());
    let said = stdout(&output);
    assert!(output.status.success(), "{said}{}", stderr(&output));
    assert!(said.contains("came out again, the same"), "{said}");
    assert!(
        said.contains("enough for the holder's own policy"),
        "{said}"
    );
    assert_eq!(
        said.contains("stamped this state of the ledger at"),
        scene.stamped,
        "{said}"
    );

    the_report_is_whole(&folder);
    if scene.stamped {
        let proofs = folder.join("proofs");
        let words = [
            "ts",
            "-verify",
            "-data",
            "stamp-1.checkpoint",
            "-in",
            "stamp-1.tsr",
            "-CAfile",
            "stamp-1.ca.pem",
        ];
        assert!(openssl(&proofs, &words));
    }
    proofs_hold_for_a_stranger(&folder, &vkey, &scene.two.flags());
    looks_and_packs_are_on_the_ledger(&scene);
    what_is_stricter_than_the_case_stays(&folder);
    an_encrypted_pack_opens_with_age(&scene, &one);
}

fn the_report_is_whole(folder: &Path) {
    let report = folder.join("data/report.pdf");
    let tool = |name: &str, words: &[&str]| {
        let output = Command::new(name).args(words).output();
        if output.is_err() {
            println!("SKIPPED: no {name} (apt-get install qpdf poppler-utils)");
        }
        output.ok()
    };
    if let Some(output) = tool("qpdf", &["--check", &text(&report)]) {
        assert!(output.status.success(), "{}", stdout(&output));
    }
    let Some(output) = tool("pdftotext", &["-layout", &text(&report), "-"]) else {
        return;
    };
    let words = stdout(&output);
    let mut exhibits = 0;
    for entry in fs::read_dir(folder.join("data/exhibits")).unwrap() {
        let path = entry.unwrap().path().join("acquisition.json");
        let told: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        for field in ["exhibit", "sha256", "sha512"] {
            let value = told["acquisition"][field].as_str().unwrap();
            assert!(
                words.contains(value),
                "{field} {value} is not in the report"
            );
        }
        exhibits += 1;
    }
    assert!(exhibits >= 2);
    for wanted in ["203.0.113.9", "Example Hosting", "Glossary", "page 1 of"] {
        assert!(words.contains(wanted), "{wanted}");
    }
}

/// A verifier that shares no code with us takes the proofs as they lie in the pack.
fn proofs_hold_for_a_stranger(folder: &Path, vkey: &str, witnesses: &[&str]) {
    if outside::ledger_auditor().is_none() {
        return;
    }
    let Some(script) = outside::shared("check/verify_tlog_one_page.py") else {
        return;
    };
    let witnesses = witnesses.iter().filter(|word| **word != "--witness");
    let witnesses: Vec<&str> = witnesses.copied().collect();
    let mut checked = 0;
    for entry in fs::read_dir(folder.join("proofs")).unwrap() {
        let proof = entry.unwrap().path();
        if proof.extension().is_none_or(|e| e != "tlog-proof") {
            continue;
        }
        let output = Command::new("python3")
            .arg(&script)
            .args([&proof, &proof.with_extension("leaf")])
            .arg(vkey)
            .args(&witnesses)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stdout(&output));
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
}

fn looks_and_packs_are_on_the_ledger(scene: &Scene) {
    let entries = scene.said(&["ledger", "show", "--limit", "1000"]);
    let exports = 3;
    let exhibits = fs::read_dir(scene.site.path("pack/data/exhibits"))
        .unwrap()
        .count();
    let count = |what: &str| entries.matches(what).count();
    assert_eq!(count("\"how\":\"pack\""), exports * exhibits);
    assert_eq!(count("\"step\":\"packed\""), exports);
}

fn what_is_stricter_than_the_case_stays(folder: &Path) {
    for path in outside::files(folder, &[]) {
        let bytes = fs::read(&path).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains("for us alone"),
            "{}",
            path.display()
        );
    }
}

fn an_encrypted_pack_opens_with_age(scene: &Scene, plain: &Path) {
    let key = scene.site.path("age.key");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output();
    let Ok(made) = made else {
        println!("SKIPPED: no age (apt-get install age)");
        return;
    };
    let said = stderr(&made);
    let recipient = said.trim().rsplit(' ').next().unwrap();
    let (sealed, opened) = (scene.site.path("p.zip.age"), scene.site.path("p.zip"));
    scene.said(&[
        "case",
        "export",
        &scene.case,
        "--to",
        &text(&sealed),
        "--at",
        &scene.at,
        "--by",
        "operator",
        "--age",
        recipient,
    ]);
    let output = Command::new("age")
        .args([
            "-d",
            "-i",
            &text(&key),
            "-o",
            &text(&opened),
            &text(&sealed),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read(&opened).unwrap(), fs::read(plain).unwrap());
    let refused = posse(&["verify", &text(&sealed)]);
    assert!(stderr(&refused).contains("age -d"), "{}", stderr(&refused));
}

#[test]
fn a_killed_export_leaves_a_whole_pack_or_none() {
    let site = Site::new();
    let say = |words: &[&str]| {
        let output = site.ask(&[words, &["--by", "operator"]].concat());
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    };
    say(&[
        "case",
        "open",
        "--title",
        "x",
        "--authority",
        "contract",
        "--purpose",
        "security",
    ]);
    let case = format!("CASE-{}-0001", jiff::Timestamp::now().strftime("%Y"));
    let big = site.path("big");
    fs::write(&big, vec![7u8; 8 << 20]).unwrap();
    say(&[
        "exhibit",
        "add",
        &text(&big),
        "--case",
        &case,
        "--authority",
        "contract",
    ]);
    let (target, folder) = (site.path("out.zip"), site.path("out"));
    let (mut none, mut whole) = (0, 0);
    for round in 0..12u64 {
        let to = if round % 2 == 0 { &target } else { &folder };
        let mut child = Command::new(POSSE)
            .args(["case", "export", &case, "--to", &text(to), "--state"])
            .arg(site.state())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(30 + round * round * 12));
        child.kill().ok();
        child.wait().unwrap();
        if to.exists() {
            let output = posse(&["verify", &text(to)]);
            assert!(output.status.success(), "{}", stdout(&output));
            whole += 1;
            if to.is_dir() {
                fs::remove_dir_all(to).unwrap();
            } else {
                fs::remove_file(to).unwrap();
            }
        } else {
            none += 1;
        }
    }
    println!("{none} killed before the end, {whole} after it");
    assert!(none > 0);
    say(&["case", "export", &case, "--to", &text(&folder)]);
    assert!(posse(&["verify", &text(&folder)]).status.success());
    let left: Vec<_> = fs::read_dir(site.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with("out.part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_pack_without_witness_or_stamp_says_what_it_cannot_show() {
    let site = Site::new();
    let opened = site.ask(&[
        "case",
        "open",
        "--title",
        "x",
        "--authority",
        "contract",
        "--purpose",
        "security",
        "--by",
        "operator",
    ]);
    assert!(opened.status.success(), "{}", stderr(&opened));
    let case = format!("CASE-{}-0001", jiff::Timestamp::now().strftime("%Y"));
    let pack = site.path("pack.zip");
    let output = site.ask(&["case", "export", &case, "--to", &text(&pack)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = posse(&["verify", &text(&pack), "--json"]);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["ok"], true);
    let unproven = report["unproven"].to_string();
    for wanted in [
        "no outside witness signed",
        "the key came with the pack",
        "no time stamp",
    ] {
        assert!(unproven.contains(wanted), "{unproven}");
    }
    // A reader who wants a witness is not content with that.
    let policy = site.path("policy");
    fs::write(
        &policy,
        format!(
            "witness w {}\nquorum w\n",
            Two::prepare(site.dir.path()).flags()[1]
        ),
    )
    .unwrap();
    let output = posse(&["verify", &text(&pack), "--policy", &text(&policy)]);
    assert!(!output.status.success());
    assert!(
        stdout(&output).contains("not enough for your policy"),
        "{}",
        stdout(&output)
    );
    let torn = site.path("torn.zip");
    let bytes = fs::read(&pack).unwrap();
    fs::write(&torn, &bytes[..bytes.len() - 100]).unwrap();
    let output = posse(&["verify", &text(&torn)]);
    assert!(
        stderr(&output).contains("nor a whole ZIP"),
        "{}",
        stderr(&output)
    );
}
