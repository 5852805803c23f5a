//! The manual pages and shell completions, made from the command line's own definition.

use std::{fs, io::Write, path::Path};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{cli::Cli, exit::Exit};

/// Depth of the command line: `posse ledger verify`.
const DEPTH_MAX: usize = 3;

const FILES: [(&str, &str); 3] = [
    (
        "/etc/posse/posse.toml",
        "Configuration; every key is explained in /usr/share/doc/posse/configuration.md.",
    ),
    (
        "/var/lib/posse",
        "Bans, alerts, the ledger and its key. Belongs to the user the guard runs as.",
    ),
    (
        "/usr/share/doc/posse/install.md",
        "The service: what it may do, upgrades, logs it cannot read, secrets.",
    ),
];

/// Writes `posse.1`, one page a subcommand, and `completions/` into a folder.
pub(crate) fn write(dir: &Path, out: &mut dyn Write) -> Result<Exit> {
    let put = |path: &Path, content: &[u8]| {
        fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    let shells = dir.join("completions");
    fs::create_dir_all(&shells)
        .with_context(|| format!("cannot make the folder {}", shells.display()))?;
    for (name, content) in pages()? {
        put(&dir.join(&name), &content)?;
        writeln!(out, "{name}")?;
    }
    for (shell, name) in [
        (Shell::Bash, "posse.bash"),
        (Shell::Zsh, "_posse"),
        (Shell::Fish, "posse.fish"),
    ] {
        put(&shells.join(name), &completion(shell))?;
        writeln!(out, "completions/{name}")?;
    }
    Ok(Exit::Success)
}

pub(crate) fn completion(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "posse", &mut script);
    script
}

/// Every page: its file name and its text in roff.
pub(crate) fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(&root, "posse", DEPTH_MAX, &mut pages)?;
    Ok(pages)
}

fn collect(
    command: &Command,
    name: &str,
    depth: usize,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let mut text = Vec::new();
    Man::new(command.clone())
        .title(name.to_uppercase())
        .manual("Posse")
        .source(format!("posse {}", env!("CARGO_PKG_VERSION")))
        // The build's day would make every build another.
        .date("")
        .render(&mut text)?;
    let text = String::from_utf8(text)?.replace(".SH EXTRA\n", ".SH \"EXIT STATUS\"\n");
    let text = format!("{text}{}", closing(command, name));
    pages.push((format!("{name}.1"), text.into_bytes()));
    let deeper = depth.checked_sub(1).filter(|left| *left > 0);
    for part in command.get_subcommands() {
        if let (false, Some(depth)) = (part.is_hide_set(), deeper) {
            collect(part, &format!("{name}-{}", part.get_name()), depth, pages)?;
        }
    }
    Ok(())
}

/// What the definition cannot say: the files, on the first page, and where to read on.
fn closing(command: &Command, name: &str) -> String {
    let mut roff = String::new();
    if name == "posse" {
        roff.push_str(".SH FILES\n");
        for (path, what) in FILES {
            roff.push_str(&format!(".TP\n.I {path}\n{what}\n"));
        }
    }
    let mut others: Vec<String> = command
        .get_subcommands()
        .filter(|part| !part.is_hide_set())
        .map(|part| format!("{name}-{}", part.get_name()))
        .collect();
    others.extend(name.rsplit_once('-').map(|(above, _)| above.to_owned()));
    if !others.is_empty() {
        let list: Vec<String> = others
            .iter()
            .map(|other| format!(".BR {} (1)", other.replace('-', "\\-")))
            .collect();
        roff.push_str(&format!(".SH \"SEE ALSO\"\n{}\n", list.join(" ,\n")));
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shown_command_has_a_page() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["posse.1", "posse-run.1", "posse-ledger-verify.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(!names.iter().any(|n| n.contains("drill-part")), "{names:?}");
    }
}
