//! Load for a hub: thousands of guards' streams in one process.
//!
//! Real are TCP, TLS 1.3 with a client certificate for each guard, HTTP/2, the stream's frames and
//! their checks; simulated are the kernels. One guard in the crowd is a whole [`fleet::Follower`];
//! of the others each keeps its place in the generations and compares every frame's bytes with
//! those that were checked once for all, signature by signature. `bench/fleet/run` drives it.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

mod check;
mod crowd;
mod guard;
mod identity;
mod inject;
mod link;
mod pollers;
mod serve;
mod tally;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Load for a hub: see bench/fleet/run")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a hub from DIR, with invitations for so many guards and a machine's password.
    Hub(HubArgs),
    /// Follows a hub as so many guards, and measures.
    Guards(GuardsArgs),
    /// Polls a CrowdSec Local API as so many bouncers, and measures.
    Pollers(PollersArgs),
}

#[derive(clap::Args)]
struct HubArgs {
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long, default_value_t = 200)]
    guards: usize,
}

#[derive(clap::Args)]
struct GuardsArgs {
    /// The hub's folder: tokens and the machine's password are read from it, identities kept.
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    hub: SocketAddr,
    #[arg(long, default_value_t = 200)]
    guards: usize,
    /// Bans one by one.
    #[arg(long, default_value_t = 120)]
    singles: u32,
    /// Milliseconds between two of them.
    #[arg(long, default_value_t = 300)]
    pause_ms: u64,
    /// Bans a second in the second part.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Its length.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Run to restart the hub; it must return when the hub was started again.
    #[arg(long)]
    restart: Option<String>,
    /// A file that holds the hub's process id, for its memory.
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Fail when the 50th or 99th percentile is above so many milliseconds, or anything is lost.
    #[arg(long, num_args = 2, value_names = ["P50", "P99"])]
    within_ms: Option<Vec<u64>>,
}

#[derive(clap::Args)]
struct PollersArgs {
    #[arg(long)]
    api: SocketAddr,
    /// One API key a line; as many bouncers as lines.
    #[arg(long)]
    keys: PathBuf,
    /// `name password` of a machine that makes the bans.
    #[arg(long)]
    machine: PathBuf,
    #[arg(long, default_value_t = 10)]
    every_seconds: u64,
    #[arg(long, default_value_t = 20)]
    bans: u32,
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Hub(args) => serve::run(&args),
        Command::Guards(args) => crowd::run(&args),
        Command::Pollers(args) => pollers::run(&args),
    }
}
