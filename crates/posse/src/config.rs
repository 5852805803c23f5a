//! `posse.toml`: every key, its default, and errors that name the line and the fix.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use confine::SandboxConfig;
use console::ConsoleConfig;
use decide::{BanConfig, NeverBanConfig, PolicyConfig};
use evidence::{TIME_SERVERS_MAX, TimeServer};
use model::{Diagnostic, Severity, parse_duration};
use sense::{Input, SourceSpec, StartAt};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    budget::Bytes,
    geoip::GeoIpConfig,
    guard::{Silence, VitalsConfig},
    hub_command::HubConfig,
    refer_command::ReferConfig,
};

/// Where the configuration is looked for when none is named.
pub(crate) const DEFAULT_PATH: &str = "/etc/posse/posse.toml";
/// Where `posse rules import` puts what it brings, unless told otherwise.
pub(crate) const IMPORTED_RULES: &str = "/etc/posse/rules.d";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The whole file. A missing key has the value of [`Config::default`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// State folder; `--state` wins.
    pub(crate) state: Option<PathBuf>,
    /// What to watch; empty: what [`sense::discover`] finds.
    pub(crate) source: Vec<Source>,
    pub(crate) rules: RulesConfig,
    pub(crate) enforce: EnforceConfig,
    pub(crate) ban: BanConfig,
    pub(crate) never_ban: NeverBanConfig,
    pub(crate) ledger: LedgerConfig,
    pub(crate) alerts: notify::AlertsConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) console: ConsoleConfig,
    pub(crate) sandbox: SandboxConfig,
    pub(crate) vitals: VitalsConfig,
    pub(crate) geoip: GeoIpConfig,
    pub(crate) fleet: uplink::FleetConfig,
    pub(crate) refer: ReferConfig,
    pub(crate) hub: HubConfig,
    pub(crate) evidence: EvidenceConfig,
    pub(crate) cases: CasesConfig,
}

/// One `[[source]]`: exactly one of `file`, `journal`, `syslog_udp`, `syslog_tcp`, `stdin`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Source {
    file: Option<String>,
    /// Matches as `journalctl` takes them (`_SYSTEMD_UNIT=ssh.service`); an empty list: all.
    journal: Option<Vec<String>>,
    syslog_udp: Option<SocketAddr>,
    syslog_tcp: Option<SocketAddr>,
    stdin: bool,
    /// What the lines are: `syslog`, `nginx`, `apache2`, …
    r#type: Option<String>,
    /// Where to begin in a file that was never read before.
    start: Start,
    /// When its silence is told of; absent: as `[vitals]` says.
    silent_after: Option<Silence>,
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Start {
    Beginning,
    #[default]
    End,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RulesConfig {
    /// Use the rules that come with the program.
    pub(crate) built_in: bool,
    /// Further rule folders; absent: [`IMPORTED_RULES`], if it exists.
    pub(crate) folders: Vec<PathBuf>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            built_in: true,
            folders: Some(PathBuf::from(IMPORTED_RULES))
                .filter(|f| f.is_dir())
                .into_iter()
                .collect(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Enforce when the kernel lets us, else observe and say so.
    #[default]
    Auto,
    /// Never touch the kernel.
    Observe,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EnforceConfig {
    pub(crate) mode: Mode,
    /// Name of the nftables table (family inet).
    pub(crate) table: String,
}

impl Default for EnforceConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            table: "posse".into(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LedgerConfig {
    /// The log's name in checkpoints, a schema-less URL; fixed when the ledger is made.
    pub(crate) origin: Option<String>,
    pub(crate) keep: Keep,
    witnesses: Vec<openlog::WitnessConfig>,
    policy: Option<PathBuf>,
    #[serde(deserialize_with = "span")]
    witness_lag: Option<Duration>,
    stamp_authorities: Vec<openlog::AuthorityConfig>,
    #[serde(deserialize_with = "span")]
    stamp_every: Option<Duration>,
}

impl LedgerConfig {
    /// Who else is asked to vouch for the ledger.
    pub(crate) fn others(&self) -> openlog::WitnessesConfig {
        openlog::WitnessesConfig {
            witnesses: self.witnesses.clone(),
            policy: self.policy.clone(),
            witness_lag: self.witness_lag,
            stamp_authorities: self.stamp_authorities.clone(),
            stamp_every: self.stamp_every,
        }
    }
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map(Some).map_err(D::Error::custom)
}

/// How long the ledger keeps what its entries say. Their leaves stay for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep(pub(crate) Option<Duration>);

/// Shorter, and a repeat offender of yesterday would be a stranger after every restart.
const KEEP_MIN: Duration = Duration::from_secs(86_400);

impl Default for Keep {
    fn default() -> Self {
        Self(Some(crate::guard::MEMORY))
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "forever" {
            return Ok(Self(None));
        }
        match parse_duration(&text) {
            Ok(span) if span >= KEEP_MIN => Ok(Self(Some(span))),
            Ok(_) => Err(D::Error::custom("keep is at least 1d")),
            Err(e) => Err(D::Error::custom(format!(
                "keep is \"forever\" or a time: {e}"
            ))),
        }
    }
}

/// How long exhibits are kept, and how often they are read again.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EvidenceConfig {
    /// A period for each class; those not named keep theirs.
    retention: BTreeMap<String, Period>,
    /// Every exhibit is read and compared so often.
    fixity: Period,
    /// Of a hub: bytes of one exhibit that comes in over HTTP.
    pub(crate) upload_max: Bytes,
    /// Of a hub: such exhibits leave so much of the disk free.
    pub(crate) upload_room: Bytes,
    /// Asked how far the clock is off when evidence is taken; none: nobody is.
    #[serde(deserialize_with = "time_servers")]
    pub(crate) time_servers: Vec<TimeServer>,
    /// What `posse exhibit collect` lists with hashes.
    pub(crate) collect_paths: Vec<PathBuf>,
}

/// Where programs that are to start again are usually put.
const COLLECT_PATHS: [&str; 5] = [
    "/etc",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/var/spool/cron",
    "/root/.ssh",
];

fn time_servers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<TimeServer>, D::Error> {
    let servers = Vec::<TimeServer>::deserialize(from)?;
    if servers.len() > TIME_SERVERS_MAX {
        let text = format!("at most {TIME_SERVERS_MAX} time servers are asked");
        return Err(D::Error::custom(text));
    }
    Ok(servers)
}

#[derive(Clone, Copy, Debug)]
struct Period(Duration);

const FIXITY_EVERY: Duration = Duration::from_secs(30 * 86_400);

impl Default for EvidenceConfig {
    fn default() -> Self {
        Self {
            retention: BTreeMap::new(),
            fixity: Period(FIXITY_EVERY),
            time_servers: Vec::new(),
            collect_paths: COLLECT_PATHS.map(PathBuf::from).to_vec(),
            upload_max: Bytes(hub::limits::EXHIBIT_BYTES_MAX),
            upload_room: Bytes(hub::limits::EXHIBIT_ROOM_MIN),
        }
    }
}

impl EvidenceConfig {
    pub(crate) fn policy(&self) -> casework::RetentionPolicy {
        let periods = self.retention.iter();
        casework::RetentionPolicy::with(periods.map(|(c, p)| (c.clone(), p.0)).collect())
    }

    pub(crate) const fn fixity(&self) -> Duration {
        self.fixity.0
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match parse_duration(&text) {
            Ok(span) if span >= KEEP_MIN => Ok(Self(span)),
            Ok(_) => Err(D::Error::custom("a period is at least 1d")),
            Err(e) => Err(D::Error::custom(e.to_string())),
        }
    }
}

/// Cases that are opened by themselves.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CasesConfig {
    /// What alerts of one case have in common; absent: no case is opened by itself.
    pub(crate) group: Option<casework::grouping::GroupBy>,
    /// So many alerts of a group are a case.
    pub(crate) alerts: std::num::NonZeroUsize,
    /// Whose authority such a case stands on.
    authority: String,
}

/// One alert is seldom worth a case; from every corner of the world comes one a day.
const ALERTS_OF_CASE: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(2);

impl Default for CasesConfig {
    fn default() -> Self {
        Self {
            group: None,
            alerts: ALERTS_OF_CASE,
            authority: String::new(),
        }
    }
}

impl CasesConfig {
    pub(crate) fn authority(&self) -> &str {
        if self.authority.trim().is_empty() {
            "operator of this machine"
        } else {
            &self.authority
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    /// Live buckets; beyond it the one quiet longest is dropped and counted.
    pub(crate) buckets: usize,
    /// Memory of the whole program; absent: only the bounds of each part.
    pub(crate) memory: Option<Bytes>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            buckets: model::limits::BUCKETS_MAX,
            memory: None,
        }
    }
}

impl Config {
    /// Reads `path`, or [`DEFAULT_PATH`] if that exists, or takes the defaults.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, Diagnostic> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_PATH), false),
        };
        match read_bounded(path) {
            Ok(text) => Self::parse(&path.display().to_string(), &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => Ok(Self::default()),
            Err(e) => Err(whole_file(
                path,
                format!("cannot be read: {e}"),
                "check the path and its permissions",
            )),
        }
    }

    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Diagnostic> {
        let config: Self = toml::from_str(text).map_err(|e| locate(file, text, &e))?;
        for (number, source) in config.source.iter().enumerate() {
            source.check().map_err(|(message, fix)| Diagnostic {
                severity: Severity::Error,
                file: file.to_owned(),
                line: line_of_source(text, number),
                column: 1,
                message,
                fix: fix.to_owned(),
            })?;
        }
        config
            .alerts
            .plan()
            .map_err(|e| alerts_diagnostic(file, text, &e))?;
        Ok(config)
    }

    pub(crate) fn policy(&self) -> PolicyConfig {
        PolicyConfig {
            ban: self.ban.clone(),
            never_ban: self.never_ban.clone(),
        }
    }

    /// Of each of [`Config::sources`], when its silence is told of.
    pub(crate) fn silences(&self) -> impl Iterator<Item = Silence> {
        let default = self.vitals.silent_after;
        self.source
            .iter()
            .map(move |s| s.silent_after.unwrap_or(default))
    }

    /// The sources that the file names, ready for the sensors.
    pub(crate) fn sources(&self) -> Vec<SourceSpec> {
        self.source.iter().filter_map(Source::spec).collect()
    }
}

impl Source {
    fn inputs(&self) -> usize {
        [
            self.file.is_some(),
            self.journal.is_some(),
            self.syslog_udp.is_some(),
            self.syslog_tcp.is_some(),
            self.stdin,
        ]
        .into_iter()
        .filter(|set| *set)
        .count()
    }

    fn check(&self) -> Result<(), (String, &'static str)> {
        if self.inputs() != 1 {
            return Err((
                format!(
                    "a [[source]] names exactly one input, this one names {}",
                    self.inputs()
                ),
                "give one of file, journal, syslog_udp, syslog_tcp, stdin; \
                 write another [[source]] for another input",
            ));
        }
        if self.r#type.is_none() && (self.file.is_some() || self.stdin) {
            return Err((
                "the source has no type".into(),
                "add type = \"syslog\" (or nginx, apache2, …) so that rules know the lines",
            ));
        }
        Ok(())
    }

    fn spec(&self) -> Option<SourceSpec> {
        let start = match self.start {
            Start::Beginning => StartAt::Beginning,
            Start::End => StartAt::End,
        };
        let input = if let Some(pattern) = &self.file {
            Input::File {
                pattern: pattern.clone(),
                start,
            }
        } else if let Some(matches) = &self.journal {
            Input::Journal {
                matches: matches.clone(),
                directory: None,
            }
        } else if let Some(listen) = self.syslog_udp {
            Input::SyslogUdp { listen }
        } else if let Some(listen) = self.syslog_tcp {
            Input::SyslogTcp { listen }
        } else if self.stdin {
            Input::Stdin
        } else {
            return None;
        };
        let mut labels = self.labels.clone();
        labels.insert(
            "type".into(),
            self.r#type.clone().unwrap_or_else(|| "syslog".into()),
        );
        Some(SourceSpec { input, labels })
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        let why = format!("{size} bytes; at most {FILE_BYTES_MAX} are read");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    }
    std::fs::read_to_string(path)
}

fn whole_file(path: &Path, message: String, fix: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: path.display().to_string(),
        line: 0,
        column: 0,
        message,
        fix: fix.to_owned(),
    }
}

fn locate(file: &str, text: &str, error: &toml::de::Error) -> Diagnostic {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |tail| tail.chars().count())
        + 1;
    Diagnostic {
        severity: Severity::Error,
        file: file.to_owned(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        message: error
            .message()
            .lines()
            .next()
            .unwrap_or("cannot be read")
            .to_owned(),
        fix: fix_for(error.message()),
    }
}

/// The list of known keys is in serde's message; the rest is for the reader of TOML.
fn fix_for(message: &str) -> String {
    if let Some((_, known)) = message.split_once("expected one of ") {
        return format!("use one of {known}; docs/configuration.md explains each");
    }
    if let Some((_, known)) = message.split_once("expected ") {
        return format!("write {}", known.lines().next().unwrap_or(known));
    }
    "see docs/configuration.md for every key and an example".into()
}

fn alerts_diagnostic(file: &str, text: &str, error: &notify::NotifyError) -> Diagnostic {
    let (message, fix) = error.parts();
    Diagnostic {
        severity: Severity::Error,
        file: file.to_owned(),
        line: line_of_channel(text, error.channel()),
        column: 1,
        message,
        fix,
    }
}

/// The head of the table that says `"channel"`, else the first table of alerts.
fn line_of_channel(text: &str, channel: Option<&str>) -> u32 {
    let mut head = 0;
    for (line, number) in text.lines().zip(1u32..) {
        if line.trim_start().starts_with('[') {
            head = number;
        } else if channel.is_some_and(|name| line.contains(&format!("\"{name}\""))) {
            return head;
        }
    }
    let first = text.lines().zip(1u32..);
    let mut first = first.filter(|(line, _)| line.trim_start().starts_with("[alerts"));
    first.next().map_or(0, |(_, number)| number)
}

fn line_of_source(text: &str, number: usize) -> u32 {
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with("[[source]]"))
        .nth(number)
        .map_or(0, |(index, _)| u32::try_from(index + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        let config = Config::parse("posse.toml", "").unwrap();
        assert!(config.sources().is_empty());
        assert!(config.rules.built_in);
        assert_eq!(config.enforce.table, "posse");
    }

    #[test]
    fn unknown_keys_are_refused_with_line_and_fix() {
        let text = "[enforce]\nmode = \"auto\"\ntabel = \"x\"\n";
        let error = Config::parse("posse.toml", text).unwrap_err();
        assert_eq!((error.line, error.column), (3, 1));
        assert!(error.message.contains("tabel"), "{error}");
        assert!(error.fix.contains("table"), "{error}");
    }

    #[test]
    fn a_source_names_exactly_one_input_and_a_type() {
        let both = "\n[[source]]\nfile = \"/a\"\nstdin = true\n";
        assert_eq!(Config::parse("f", both).unwrap_err().line, 2);
        let untyped = "[[source]]\nfile = \"/a\"\ntype = \"syslog\"\n[[source]]\nfile = \"/b\"\n";
        let error = Config::parse("f", untyped).unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.fix.contains("type = "), "{error}");
    }

    #[test]
    fn time_servers_are_few_and_named() {
        let few = "[evidence]\ntime_servers = [\"ntp.example.org\", \"192.0.2.1\"]\n";
        let config = Config::parse("f", few).unwrap();
        assert_eq!(config.evidence.time_servers.len(), 2);
        let many = format!("[evidence]\ntime_servers = {:?}\n", ["a"; 9]);
        let error = Config::parse("f", &many).unwrap_err();
        assert!(error.message.contains("at most 8"), "{error}");
        let error = Config::parse("f", "[evidence]\ntime_servers = [\"a b\"]\n").unwrap_err();
        assert!(error.message.contains("no time server"), "{error}");
    }

    #[test]
    fn wrong_types_say_what_to_write() {
        let error = Config::parse("f", "[limits]\nbuckets = \"many\"\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.message.contains("invalid type"), "{error}");
    }
}
