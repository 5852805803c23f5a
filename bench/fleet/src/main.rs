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
mod newcomer;
mod pollers;
mod serve;
mod tally;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

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
    /// Gives a hub so many bans at random.
    Fill(FillArgs),
    /// Starts a new guard and measures how it takes the hub's bans.
    Newcomer(NewcomerArgs),
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

#[derive(clap::Args)]
struct FillArgs {
    /// The hub's Local API.
    #[arg(long)]
    api: SocketAddr,
    /// `name password` of a machine of the hub's own organisation.
    #[arg(long)]
    machine: PathBuf,
    #[arg(long, default_value_t = 1_000_000)]
    bans: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write the greatest address.
    #[arg(long)]
    last: PathBuf,
}

#[derive(clap::Args)]
struct NewcomerArgs {
    #[arg(long)]
    posse: PathBuf,
    /// The guard's state folder, joined to the hub.
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    config: PathBuf,
    /// The interface towards the hub.
    #[arg(long)]
    interface: String,
    #[arg(long, default_value_t = 1_000_000)]
    bans: usize,
    /// As `fill` wrote it: it goes in last.
    #[arg(long)]
    last: PathBuf,
    /// Seconds after the last element that still count for the guard's peak of memory.
    #[arg(long, default_value_t = 10)]
    rest_seconds: u64,
    /// Count the kernel's elements in the end, which takes it a minute for a million.
    #[arg(long)]
    count: bool,
    /// Fail when more bytes, milliseconds or KiB were needed.
    #[arg(long, num_args = 3, value_names = ["BYTES", "MS", "KIB"])]
    within: Option<Vec<u64>>,
}

impl NewcomerArgs {
    const fn rest(&self) -> Duration {
        Duration::from_secs(self.rest_seconds)
    }
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Hub(args) => serve::run(&args),
        Command::Guards(args) => crowd::run(&args),
        Command::Pollers(args) => pollers::run(&args),
        Command::Fill(args) => newcomer::fill(&args),
        Command::Newcomer(args) => newcomer::run(&args),
    }
}
