//! What can go wrong between a decision and the kernel, in words the operator can act on.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum EnforceError {
    #[error(
        "the kernel does not let this process change the firewall ({operation}); run as root or \
         give it CAP_NET_ADMIN (systemd: AmbientCapabilities=CAP_NET_ADMIN)"
    )]
    NotPermitted { operation: &'static str },
    #[error(
        "this kernel has no nf_tables ({operation}); load the module nf_tables (modprobe \
         nf_tables) or use a kernel with CONFIG_NF_TABLES_INET"
    )]
    NoNfTables { operation: &'static str },
    #[error(
        "the kernel refused to {operation}: {}{}",
        io::Error::from_raw_os_error(*errno),
        hint(message)
    )]
    Kernel {
        operation: &'static str,
        errno: i32,
        message: Option<String>,
    },
    #[error("netlink socket: could not {operation}")]
    Socket {
        operation: &'static str,
        source: io::Error,
    },
    #[error("the kernel lost replies while we were to {operation}; the result is not known")]
    Overrun { operation: &'static str },
    #[error("the kernel sent no answer when asked to {operation}")]
    NoReply { operation: &'static str },
    #[error("the kernel's answer could not be read (asked to {operation})")]
    Malformed { operation: &'static str },
    #[error("the firewall kept changing while it was read ({attempts} attempts); try again later")]
    Interrupted { attempts: u32 },
    #[error("table name {name:?} cannot be used: 1 to 200 bytes, letters, digits, '_' and '-'")]
    TableName { name: String },
}

impl EnforceError {
    /// The kernel's error number, when the kernel gave one.
    pub const fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { errno, .. } => Some(*errno),
            Self::NotPermitted { .. }
            | Self::NoNfTables { .. }
            | Self::Socket { .. }
            | Self::Overrun { .. }
            | Self::NoReply { .. }
            | Self::Malformed { .. }
            | Self::Interrupted { .. }
            | Self::TableName { .. } => None,
        }
    }

    /// Whether bans cannot be enforced on this machine as it is, so that the caller observes only.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::NotPermitted { .. } | Self::NoNfTables { .. })
    }
}

fn hint(message: &Option<String>) -> String {
    message
        .as_ref()
        .map(|m| format!(" ({m})"))
        .unwrap_or_default()
}
