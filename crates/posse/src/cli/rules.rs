//! `posse rules …` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::IMPORTED_RULES;

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// A checkout of the CrowdSec hub, or an installed /etc/crowdsec.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The rules folder to put it into.
    #[arg(long, value_name = "FOLDER", default_value = IMPORTED_RULES)]
    pub(crate) into: PathBuf,
    /// Enable only these: collections with all that they list, or single items
    /// [default: what is enabled in an installation, all of a checkout].
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) enable: Vec<String>,
    /// Enable everything that runs.
    #[arg(long, conflicts_with = "enable")]
    pub(crate) all: bool,
    /// A folder with the data files that rules name by URL, under the URL's path below its host.
    #[arg(long, value_name = "DIR")]
    pub(crate) mirror: Option<PathBuf>,
    /// A folder of grok pattern files, if DIR has none.
    #[arg(long, value_name = "DIR")]
    pub(crate) patterns: Option<PathBuf>,
    /// Fetch the data files that are neither in the mirror nor on this machine
    /// [default without --mirror].
    #[arg(long, conflicts_with = "no_fetch")]
    pub(crate) fetch: bool,
    /// Never use the network.
    #[arg(long)]
    pub(crate) no_fetch: bool,
    /// Print JSON, one item a line and the totals last.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RefreshArgs {
    /// The rules folder that the content was imported into.
    #[arg(long, value_name = "FOLDER", default_value = IMPORTED_RULES)]
    pub(crate) into: PathBuf,
    /// Take data files from this folder instead of the network.
    #[arg(long, value_name = "DIR")]
    pub(crate) mirror: Option<PathBuf>,
    /// Print JSON, one item a line and the totals last.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EnableArgs {
    /// Collections or items, as the import lists them.
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The rules folder that the content was imported into.
    #[arg(long, value_name = "FOLDER", default_value = IMPORTED_RULES)]
    pub(crate) into: PathBuf,
    /// Take data files from this folder instead of the network.
    #[arg(long, value_name = "DIR")]
    pub(crate) mirror: Option<PathBuf>,
    /// Print JSON, one item a line and the totals last.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Take detection content over as it is: CrowdSec's hub or installation. Says of each item
    /// whether it runs, and why not.
    Import(ImportArgs),
    /// Bring imported content and its data files up to date.
    Refresh(RefreshArgs),
    /// Enable more of what was imported.
    Enable(EnableArgs),
    /// Disable some of what was imported.
    Disable(EnableArgs),
    /// List parsers and scenarios.
    List {
        /// A rules folder instead of what the guard runs.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Load a rules folder and report every mistake with file, line and fix.
    Check {
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Show how a line goes through: which parsers tried, what they found, which scenarios counted
    /// it, and why a ban follows or does not.
    Explain(ExplainArgs),
    /// Find what tests do not show: patterns by which a client's text bans somebody else (each
    /// with a line that proves it), buckets shared by all, filters that nothing meets.
    Lint {
        /// A rules folder, with its sample logs, instead of the built-in rules.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Print JSON, one finding a line and the totals last.
        #[arg(long)]
        json: bool,
    },
    /// Run each technology's sample log and hold the alerts against what it must give; or run
    /// the tests of CrowdSec, fail2ban or Sigma content.
    Test(RulesTestArgs),
}

/// Without a flag: the rules' own samples. Each flag runs the tests of another kind of content.
#[derive(Args, Debug)]
pub(crate) struct RulesTestArgs {
    /// A rules folder instead of the built-in rules, with a sample log for each technology.
    #[arg(value_name = "DIR", conflicts_with_all = ["hubtest", "fail2ban", "sigma"])]
    pub(crate) dir: Option<PathBuf>,
    /// Run hub tests: config.yaml, a log, parser.assert and scenario.assert in a folder each.
    #[arg(long, requires_all = ["hub", "tests"], conflicts_with_all = ["fail2ban", "sigma"])]
    pub(crate) hubtest: bool,
    /// The hub: parsers/, scenarios/, postoverflows/ with the items that tests name.
    #[arg(
        long,
        value_name = "DIR",
        requires = "hubtest",
        help_heading = "Hub tests"
    )]
    pub(crate) hub: Option<PathBuf>,
    /// The hub tests: a folder of test folders, or one test's own folder.
    #[arg(
        long,
        value_name = "DIR",
        requires = "hubtest",
        help_heading = "Hub tests"
    )]
    pub(crate) tests: Option<PathBuf>,
    /// Where the lists and databases lie that items name by source_url; the address' path is the
    /// path in here.
    #[arg(
        long,
        value_name = "DIR",
        requires = "hubtest",
        help_heading = "Hub tests"
    )]
    pub(crate) data: Option<PathBuf>,
    /// Files of grok patterns, instead of the built-in ones of the same names.
    #[arg(
        long,
        value_name = "DIR",
        requires = "hubtest",
        help_heading = "Hub tests"
    )]
    pub(crate) patterns: Option<PathBuf>,
    /// Only the test of this name, with every failed assertion, and what an assert file that is
    /// still empty could say; may be given again.
    #[arg(
        long,
        value_name = "NAME",
        requires = "hubtest",
        help_heading = "Hub tests"
    )]
    pub(crate) only: Vec<String>,
    /// Run fail2ban's filters over sample logs whose lines say what each filter must make of
    /// them (failJSON).
    #[arg(long, requires_all = ["filters", "logs"], conflicts_with = "sigma")]
    pub(crate) fail2ban: bool,
    /// The folder that holds filter.d/, or the filters themselves.
    #[arg(
        long,
        value_name = "DIR",
        requires = "fail2ban",
        help_heading = "fail2ban tests"
    )]
    pub(crate) filters: Option<PathBuf>,
    /// The sample logs, named as the filters.
    #[arg(
        long,
        value_name = "DIR",
        requires = "fail2ban",
        help_heading = "fail2ban tests"
    )]
    pub(crate) logs: Option<PathBuf>,
    /// Run the Sigma rules in this folder over the events of --events.
    #[arg(long, value_name = "DIR", requires = "events")]
    pub(crate) sigma: Option<PathBuf>,
    /// The events, with what each rule must match.
    #[arg(
        long,
        value_name = "DIR",
        requires = "sigma",
        help_heading = "Sigma tests"
    )]
    pub(crate) events: Option<PathBuf>,
    /// Names of fields and log sources in the events, where they are not the rules' own.
    #[arg(
        long,
        value_name = "FILE",
        requires = "sigma",
        help_heading = "Sigma tests"
    )]
    pub(crate) mapping: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The line, or several in their order; `-` reads them from standard input.
    #[arg(required_unless_present = "file", value_name = "LINE")]
    pub(crate) lines: Vec<String>,
    /// Take the lines from this log instead.
    #[arg(long, value_name = "LOG", conflicts_with = "lines")]
    pub(crate) file: Option<PathBuf>,
    /// Explain the lines that name this address; the others only count.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<std::net::IpAddr>,
    /// How many of the last lines to explain [default: 1, with --address 10].
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// What the lines are: syslog, nginx, apache2, … [default: guessed from the file's name, else
    /// syslog].
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Use the rules in this folder instead of the configured ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Configuration whose rules, [ban] and [never_ban] to go by.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Show every parser that tried and every scenario, not only those that have something to say.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print one JSON object a line explained.
    #[arg(long)]
    pub(crate) json: bool,
}
