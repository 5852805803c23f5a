//! The exported ledger before an outside auditor that shares no code with us.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{posse, stdout};

fn audit(script: &Path, export: &Path, vkey: &str) -> bool {
    let output = Command::new("python3")
        .arg(script)
        .arg("audit")
        .arg(export)
        .arg(vkey)
        .output();
    output.unwrap().status.success()
}

#[test]
fn an_outsider_accepts_the_export_and_refuses_any_changed_byte() {
    let Some(script) = outside::ledger_auditor() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("auth.log");
    let mut text = String::new();
    for attacker in 0..60 {
        for second in 0..7 {
            text += &format!(
                "2026-01-05T10:{:02}:{second:02}.000000+00:00 host sshd[7]: Failed password for root \
                 from 198.51.100.{} port 4000 ssh2\n",
                attacker,
                attacker + 1
            );
        }
    }
    fs::write(&log, text).unwrap();
    let state = dir.path().join("state").display().to_string();
    posse(&[
        "replay",
        &log.display().to_string(),
        "--record",
        &state,
        "--quiet",
    ]);
    let export = dir.path().join("export");
    let out = posse(&[
        "ledger",
        "export",
        &export.display().to_string(),
        "--state",
        &state,
    ]);
    assert!(out.status.success(), "{out:?}");
    let vkey = stdout(&posse(&["ledger", "key", "--state", &state]))
        .trim()
        .to_owned();
    assert!(audit(&script, &export, &vkey), "the export is not accepted");
    for file in files(&export) {
        if file
            .file_name()
            .is_some_and(|n| n == "vkey" || n == "vkeys")
        {
            continue;
        }
        let good = fs::read(&file).unwrap();
        for at in [0, good.len() / 3, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            fs::write(&file, &bad).unwrap();
            assert!(
                !audit(&script, &export, &vkey),
                "{} byte {at}",
                file.display()
            );
        }
        fs::write(&file, &good).unwrap();
    }
    assert!(audit(&script, &export, &vkey));
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
