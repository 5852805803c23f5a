//! The `[sandbox]` table of the configuration file.

use std::path::PathBuf;

use serde::Deserialize;

/// How much of the sandbox has to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As much as the kernel knows; what is missing is said.
    #[default]
    Auto,
    /// None. For finding out whether the sandbox is in the way.
    Off,
    /// All of it, or no start.
    Require,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Require => "require",
        }
    }
}

/// What is granted beyond that which the rest of the configuration implies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    pub mode: Mode,
    /// Further files and folders to read.
    pub read: Vec<PathBuf>,
    /// Further folders to write in, for alert commands.
    pub write: Vec<PathBuf>,
    /// Further programs, or folders of programs, that alert commands start.
    pub execute: Vec<PathBuf>,
}
