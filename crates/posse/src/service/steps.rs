//! Carries out the steps of a plan, or shows them.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{machine, plan, withdraw};

/// Whose files are; the owner is always root, so that the service cannot change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Service,
}

/// Whether a command that fails ends everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matters {
    Yes,
    No,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Run {
        words: Vec<String>,
        matters: Matters,
    },
    Copy {
        from: PathBuf,
        to: PathBuf,
        mode: u32,
    },
    MakeDir {
        path: PathBuf,
        mode: u32,
        group: Group,
    },
    Write {
        path: PathBuf,
        content: Vec<u8>,
        mode: u32,
    },
    /// Never over a file that is there: it is the administrator's.
    WriteNew {
        path: PathBuf,
        content: Vec<u8>,
        mode: u32,
        group: Group,
    },
    Remove {
        path: PathBuf,
    },
    RemoveTree {
        path: PathBuf,
    },
    /// Take our table out of the kernel.
    Withdraw,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { words, .. } => write!(f, "run {}", words.join(" ")),
            Self::Copy { from, to, mode } => {
                let (from, to) = (from.display(), to.display());
                write!(f, "copy {from} to {to} (mode {mode:04o})")
            }
            Self::MakeDir { path, mode, .. } => write!(
                f,
                "make {} (mode {mode:04o}, root:{})",
                path.display(),
                plan::USER
            ),
            Self::Write { path, mode, .. } => {
                write!(f, "write {} (mode {mode:04o})", path.display())
            }
            Self::WriteNew { path, mode, .. } => write!(
                f,
                "write {} unless it is there (mode {mode:04o}, root:{})",
                path.display(),
                plan::USER
            ),
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::RemoveTree { path } => write!(f, "remove {} and all in it", path.display()),
            Self::Withdraw => f.write_str("take the bans out of the kernel"),
        }
    }
}

/// Shows what would be done.
pub(super) fn show(steps: &[Step], out: &mut dyn Write) -> io::Result<()> {
    steps.iter().try_for_each(|step| writeln!(out, "{step}"))
}

/// Says each step before it is done and ends at the first that fails.
pub(super) fn carry_out(steps: &[Step], out: &mut dyn Write) -> Result<()> {
    for step in steps {
        writeln!(out, "{step}")?;
        out.flush()?;
        perform(step, out).with_context(|| format!("could not {step}"))?;
    }
    Ok(())
}

fn perform(step: &Step, out: &mut dyn Write) -> Result<()> {
    match step {
        Step::Run { words, matters } => match (start(words), matters) {
            (Err(e), Matters::Yes) => return Err(e),
            (Err(e), Matters::No) => writeln!(out, "  {e:#}")?,
            (Ok(()), _) => {}
        },
        Step::Copy { from, to, mode } => {
            let content = fs::read(from)?;
            replace(to, &content, *mode)?;
        }
        Step::MakeDir { path, mode, group } => {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
            give(path, *group)?;
        }
        Step::Write {
            path,
            content,
            mode,
        } => replace(path, content, *mode)?,
        Step::WriteNew {
            path,
            content,
            mode,
            group,
        } => {
            if !path.exists() {
                replace(path, content, *mode)?;
                give(path, *group)?;
            }
        }
        Step::Remove { path } => absent_is_fine(fs::remove_file(path))?,
        Step::RemoveTree { path } => absent_is_fine(fs::remove_dir_all(path))?,
        Step::Withdraw => withdraw()?,
    }
    Ok(())
}

fn start(words: &[String]) -> Result<()> {
    let [program, arguments @ ..] = words else {
        bail!("an empty command");
    };
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("{} ended with {status}", words.join(" "));
    }
    Ok(())
}

/// Whole or not at all; a running program keeps the file it was started from.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(parent)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = parent.join(format!(".{name}.new"));
    absent_is_fine(fs::remove_file(&fresh))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&fresh)?;
    file.write_all(content)?;
    // Not as the caller's umask would have it.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

fn give(path: &Path, group: Group) -> Result<()> {
    match group {
        Group::Service => {
            let number = machine::group_number(plan::USER)
                .with_context(|| format!("there is no group {}", plan::USER))?;
            chown(path, Some(0), Some(number))?;
        }
    }
    Ok(())
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_with_the_mode_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/file");
        for content in ["one", "two"] {
            let step = Step::Write {
                path: path.clone(),
                content: content.into(),
                mode: 0o640,
            };
            carry_out(&[step], &mut io::sink()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_there_is_removed_already() {
        let path = PathBuf::from("/nonexistent/file");
        carry_out(&[Step::Remove { path }], &mut io::sink()).unwrap();
    }

    #[test]
    fn a_command_that_matters_ends_it_and_is_named() {
        let failing = |matters| Step::Run {
            words: vec!["false".into()],
            matters,
        };
        carry_out(&[failing(Matters::No)], &mut io::sink()).unwrap();
        let error = carry_out(&[failing(Matters::Yes)], &mut io::sink()).unwrap_err();
        assert!(format!("{error:#}").contains("run false"), "{error:#}");
    }
}
