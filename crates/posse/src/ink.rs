//! Colours, for terminals only.

use std::io::{self, IsTerminal as _};

/// How text stands out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ink {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Ink {
    /// ECMA-48 SGR.
    const fn code(self) -> u8 {
        match self {
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        }
    }
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Coloured,
    Plain,
}

impl Paint {
    /// Colours on a terminal, unless the user wants none.
    pub(crate) fn for_output() -> Self {
        // https://no-color.org: any value but the empty one.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        if io::stdout().is_terminal() && !plain {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    pub(crate) fn text(self, ink: Ink, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[{}m{text}\x1b[0m", ink.code()),
            Self::Plain => text.to_owned(),
        }
    }
}
