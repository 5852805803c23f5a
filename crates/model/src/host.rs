//! What is known of this machine that a ban must never hit.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Gathered by `sense::host`, judged by `decide`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Addresses configured on this machine's interfaces.
    pub own_addresses: Vec<IpAddr>,
    /// Next hops of the default routes.
    pub gateways: Vec<IpAddr>,
    pub resolvers: Vec<IpAddr>,
    /// Far ends of established SSH sessions to this machine.
    pub admin_peers: Vec<IpAddr>,
}
