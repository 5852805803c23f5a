//! What a person meets: help, exit codes, errors that say what to do.

use crate::support::{Site, posse, stderr, stdout};

#[test]
fn help_names_every_command() {
    let help = stdout(&posse(&["--help"]));
    for command in [
        "run", "replay", "drill", "ban", "unban", "bans", "alerts", "status", "doctor", "ledger",
        "rules",
    ] {
        assert!(
            help.lines().any(|l| l.trim_start().starts_with(command)),
            "{command} in {help}"
        );
    }
    assert!(!help.contains("drill-part"));
}

#[test]
fn a_wrong_address_says_what_to_write() {
    let output = posse(&["ban", "example.org"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("203.0.113.0/24"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_wrong_key_in_the_configuration_is_named_with_line_and_fix() {
    let site = Site::with_config("[enforce]\nmodee = \"auto\"\n");
    let config = site.config().display().to_string();
    let state = site.state().display().to_string();
    let output = posse(&[
        "run",
        "--config",
        &config,
        "--state",
        &state,
        "--observe",
        "--until-end",
    ]);
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("posse.toml:6:1"), "{said}");
    assert!(said.contains("modee") && said.contains("fix:"), "{said}");
}

#[test]
fn status_without_a_guard_says_so() {
    let site = Site::new();
    let output = site.ask(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("no guard is running"));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            stdout(&posse(&["completions", shell])).contains("posse"),
            "{shell}"
        );
    }
}

#[test]
fn doctor_explains_sources_and_enforcement() {
    let said = stdout(&posse(&["doctor"]));
    for part in ["Log sources", "Enforcement", "Never banned on this machine"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn the_shipped_rules_do_what_their_samples_say() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules");
    let output = posse(&["rules", "test", rules]);
    assert!(output.status.success(), "{}", stdout(&output));
    let said = stdout(&output);
    let samples = said
        .lines()
        .filter(|line| line.starts_with("ok   "))
        .count();
    let totals = said.lines().last().unwrap();
    let begins = format!("{samples} passed, 0 failed: ");
    let lines = totals.strip_prefix(&begins).unwrap().split(' ').next();
    let lines: u64 = lines.unwrap().parse().unwrap();
    assert!(samples >= 50 && lines >= 1_500, "{totals}");
}

#[test]
fn a_sample_that_gives_another_alert_fails_the_rules_test() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("x");
    std::fs::create_dir_all(folder.join("test")).unwrap();
    std::fs::create_dir_all(folder.join("scenarios")).unwrap();
    std::fs::write(folder.join("test/sample.log"), "one line\n").unwrap();
    let expect = "type = \"x\"\n[[alert]]\nrule = \"t/r\"\nsource = \"192.0.2.1\"\ncount = 1\n";
    std::fs::write(folder.join("test/expect.toml"), expect).unwrap();
    let output = posse(&["rules", "test", &dir.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("expected 1, found 0"),
        "{}",
        stdout(&output)
    );
    assert!(
        stdout(&output).contains("0 lines name an address of `never`"),
        "a sample without lies proves nothing about them"
    );
}
