//! What is to be done to this machine, as a list of steps. Pure: [`super::machine`] says what is
//! there, [`super::steps`] carries the list out or prints it.

use std::path::{Path, PathBuf};

use super::steps::{Group, Matters, Step};

pub(super) const USER: &str = "posse";
pub(super) const STATE: &str = "/var/lib/posse";
const CONFIG_DIR: &str = "/etc/posse";
const UNIT: &str = "/etc/systemd/system/posse.service";
const SCRIPT: &str = "/etc/init.d/posse";
/// Groups that may read logs; systemd refuses to start a unit that names one that is not there.
pub(super) const LOG_GROUPS: [&str; 2] = ["adm", "systemd-journal"];

const UNIT_TEMPLATE: &str = include_str!("../../../../packaging/posse.service");
const SCRIPT_TEMPLATE: &str = include_str!("../../../../packaging/posse.openrc");
const SAMPLE: &str = include_str!("../../../../packaging/posse.toml");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Systemd,
    OpenRc,
}

/// The program that makes users here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserTool {
    /// shadow's
    Useradd,
    /// BusyBox's
    Adduser,
}

/// What was found on this machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) manager: Manager,
    /// Holds a running system (not an image that is being built).
    pub(super) is_live: bool,
    pub(super) has_user: bool,
    pub(super) user_tool: UserTool,
    /// Those of [`LOG_GROUPS`] that exist.
    pub(super) log_groups: Vec<&'static str>,
    pub(super) own_program: PathBuf,
}

/// Generated from the command line's definition: path below the prefix, and content.
pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) content: Vec<u8>,
}

pub(super) fn install(machine: &Machine, prefix: &Path, pages: Vec<Page>) -> Vec<Step> {
    let program = prefix.join("bin/posse");
    let mut steps = Vec::new();
    if !machine.has_user {
        steps.extend(make_user(machine));
    }
    if machine.own_program != program {
        steps.push(Step::Copy {
            from: machine.own_program.clone(),
            to: program.clone(),
            mode: 0o755,
        });
    }
    steps.push(Step::MakeDir {
        path: CONFIG_DIR.into(),
        mode: 0o750,
        group: Group::Service,
    });
    steps.push(Step::WriteNew {
        path: Path::new(CONFIG_DIR).join("posse.toml"),
        content: SAMPLE.into(),
        mode: 0o640,
        group: Group::Service,
    });
    steps.extend(pages.into_iter().map(|page| Step::Write {
        path: prefix.join(page.path),
        content: page.content,
        mode: 0o644,
    }));
    steps.extend(register(machine, &program));
    steps
}

fn register(machine: &Machine, program: &Path) -> Vec<Step> {
    let (path, content, mode) = match machine.manager {
        Manager::Systemd => (UNIT, unit(program, &machine.log_groups), 0o644),
        Manager::OpenRc => (SCRIPT, script(program), 0o755),
    };
    let mut steps = vec![Step::Write {
        path: path.into(),
        content: content.into_bytes(),
        mode,
    }];
    match machine.manager {
        Manager::Systemd => {
            if machine.is_live {
                steps.push(run(Matters::Yes, &["systemctl", "daemon-reload"]));
            }
            steps.push(run(Matters::Yes, &["systemctl", "enable", "posse.service"]));
            if machine.is_live {
                steps.push(run(
                    Matters::Yes,
                    &["systemctl", "restart", "posse.service"],
                ));
            }
        }
        Manager::OpenRc => {
            for group in &machine.log_groups {
                steps.push(run(Matters::No, &["addgroup", USER, group]));
            }
            steps.push(run(Matters::Yes, &["rc-update", "add", "posse", "default"]));
            if machine.is_live {
                steps.push(run(Matters::Yes, &["rc-service", "posse", "restart"]));
            }
        }
    }
    steps
}

/// What an uninstall leaves in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Bans, alerts, ledger and configuration.
    State,
    Nothing,
}

pub(super) fn uninstall(
    machine: &Machine,
    prefix: &Path,
    pages: &[Page],
    leave: Leave,
) -> Vec<Step> {
    let mut steps = match machine.manager {
        Manager::Systemd => vec![
            run(
                Matters::No,
                &["systemctl", "disable", "--now", "posse.service"],
            ),
            Step::Remove { path: UNIT.into() },
        ],
        Manager::OpenRc => vec![
            run(Matters::No, &["rc-service", "posse", "stop"]),
            run(Matters::No, &["rc-update", "del", "posse", "default"]),
            Step::Remove {
                path: SCRIPT.into(),
            },
        ],
    };
    if machine.manager == Manager::Systemd && machine.is_live {
        steps.push(run(Matters::No, &["systemctl", "daemon-reload"]));
    }
    // Nobody would be left to lift them.
    steps.push(Step::Withdraw);
    steps.extend(pages.iter().map(|page| Step::Remove {
        path: prefix.join(&page.path),
    }));
    steps.push(Step::Remove {
        path: prefix.join("bin/posse"),
    });
    if leave == Leave::Nothing {
        for path in [STATE, CONFIG_DIR] {
            steps.push(Step::RemoveTree { path: path.into() });
        }
        steps.push(match machine.user_tool {
            UserTool::Useradd => run(Matters::No, &["userdel", USER]),
            UserTool::Adduser => run(Matters::No, &["deluser", USER]),
        });
    }
    steps
}

pub(super) fn unit(program: &Path, log_groups: &[&str]) -> String {
    UNIT_TEMPLATE
        .replace("@BIN@", &program.display().to_string())
        .replace("@GROUPS@", &log_groups.join(" "))
}

fn script(program: &Path) -> String {
    SCRIPT_TEMPLATE.replace("@BIN@", &program.display().to_string())
}

fn make_user(machine: &Machine) -> Vec<Step> {
    match machine.user_tool {
        UserTool::Useradd => vec![run(
            Matters::Yes,
            &[
                "useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                STATE,
                "--shell",
                "/usr/sbin/nologin",
                "--comment",
                "Posse guard",
                USER,
            ],
        )],
        UserTool::Adduser => vec![
            run(Matters::No, &["addgroup", "-S", USER]),
            run(
                Matters::Yes,
                &[
                    "adduser",
                    "-S",
                    "-D",
                    "-H",
                    "-h",
                    STATE,
                    "-s",
                    "/sbin/nologin",
                    "-G",
                    USER,
                    "-g",
                    "Posse guard",
                    USER,
                ],
            ),
        ],
    }
}

fn run(matters: Matters, words: &[&str]) -> Step {
    Step::Run {
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        matters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(manager: Manager) -> Machine {
        Machine {
            manager,
            is_live: true,
            has_user: false,
            user_tool: match manager {
                Manager::Systemd => UserTool::Useradd,
                Manager::OpenRc => UserTool::Adduser,
            },
            log_groups: vec!["adm"],
            own_program: "/home/admin/posse".into(),
        }
    }

    fn shown(steps: &[Step]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_user_comes_first_and_the_start_last() {
        let steps = shown(&install(
            &machine(Manager::Systemd),
            Path::new("/usr/local"),
            vec![],
        ));
        assert!(steps[0].starts_with("run useradd --system"), "{steps:#?}");
        assert!(steps.last().unwrap().ends_with("restart posse.service"));
        let copy = "copy /home/admin/posse to /usr/local/bin/posse (mode 0755)".to_owned();
        assert!(steps.contains(&copy), "{steps:#?}");
    }

    #[test]
    fn nothing_is_left_open_in_the_templates() {
        for text in [
            unit(Path::new("/usr/bin/posse"), &["adm", "systemd-journal"]),
            script(Path::new("/usr/bin/posse")),
        ] {
            assert!(text.contains("/usr/bin/posse"), "{text}");
            assert!(!text.contains('@') || text.contains("@system-service"));
            assert!(!text.contains("@BIN@") && !text.contains("@GROUPS@"));
        }
    }

    #[test]
    fn groups_that_are_not_there_are_not_asked_for() {
        let text = unit(Path::new("/usr/bin/posse"), &[]);
        assert!(text.contains("\nSupplementaryGroups=\n"), "{text}");
    }

    #[test]
    fn an_uninstall_keeps_the_record_unless_told_otherwise() {
        let machine = machine(Manager::OpenRc);
        let prefix = Path::new("/usr/local");
        let kept = shown(&uninstall(&machine, prefix, &[], Leave::State));
        assert!(!kept.iter().any(|s| s.contains(STATE)), "{kept:#?}");
        assert!(kept.iter().any(|s| s.contains("kernel")), "{kept:#?}");
        let purged = shown(&uninstall(&machine, prefix, &[], Leave::Nothing));
        assert!(purged.iter().any(|s| s.contains(STATE)), "{purged:#?}");
    }
}
