//! The `[alerts]` table of the configuration file.
//!
//! What is read is plain (`AlertsConfig`); [`AlertsConfig::plan`] makes it typed, or says which
//! key of which channel is wrong and what to write instead. Secrets are only named here.

use std::{path::PathBuf, time::Duration};

use model::parse_duration;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    calendar::{Span, TimeOfDay},
    error::NotifyError,
    group::{Quiet, Rules},
    secret::Place,
    severity::Severity,
    target::{self, Target},
};

/// Channels that a configuration may name.
const CHANNELS_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 32;
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// `[alerts]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsConfig {
    /// How alerts leave this machine.
    pub channel: Vec<ChannelConfig>,
    /// After a message, further ones are gathered for so long.
    #[serde(deserialize_with = "span")]
    pub group_for: Duration,
    /// Longest pause between tries of a channel that fails.
    #[serde(deserialize_with = "span")]
    pub retry_max: Duration,
    /// A high or critical alert that nobody acknowledged goes to the escalation channels.
    #[serde(deserialize_with = "span")]
    pub escalate_after: Duration,
    /// Local time of the daily digest; `off` for none.
    #[serde(deserialize_with = "time_or_off")]
    pub digest_at: Option<TimeOfDay>,
    /// The name of this machine in messages; else its host name.
    pub host: Option<String>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            channel: Vec::new(),
            group_for: Duration::from_secs(300),
            retry_max: Duration::from_secs(300),
            escalate_after: Duration::from_secs(1_800),
            digest_at: "07:00".parse().ok(),
            host: None,
        }
    }
}

/// `[[alerts.channel]]`: `kind` says which of the keys are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelConfig {
    pub kind: String,
    /// Names the channel in status and errors, and its queue on disk; the kind when absent.
    pub name: Option<String>,
    pub min_severity: Option<String>,
    #[serde(deserialize_with = "some_span")]
    pub group_for: Option<Duration>,
    pub quiet: Option<QuietConfig>,
    /// Gets only what nobody acknowledged in time.
    pub escalation: bool,
    pub digest: Option<bool>,
    #[serde(deserialize_with = "some_span")]
    pub timeout: Option<Duration>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub tls: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub password_credential: Option<String>,
    pub from: Option<String>,
    pub to: Option<Vec<String>>,
    pub url: Option<String>,
    pub url_file: Option<PathBuf>,
    pub url_credential: Option<String>,
    pub plain_http: bool,
    pub secret_file: Option<PathBuf>,
    pub secret_credential: Option<String>,
    pub token_file: Option<PathBuf>,
    pub token_credential: Option<String>,
    pub topic: Option<String>,
    pub routing_key_file: Option<PathBuf>,
    pub routing_key_credential: Option<String>,
    pub address: Option<String>,
    pub facility: Option<String>,
    pub format: Option<String>,
    pub socket: Option<PathBuf>,
    pub run: Option<Vec<String>>,
}

/// `quiet = { from = "22:00", until = "07:00", pass = "critical" }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietConfig {
    pub from: TimeOfDay,
    pub until: TimeOfDay,
    #[serde(default)]
    pub pass: Option<String>,
}

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Alerts as they come.
    Alerts,
    /// Only what nobody acknowledged.
    Escalation,
}

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(crate) channels: Vec<ChannelPlan>,
    pub(crate) retry_max: Duration,
    pub(crate) escalate_after: Duration,
    pub(crate) digest_at: Option<TimeOfDay>,
    pub(crate) host: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChannelPlan {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) rules: Rules,
    pub(crate) role: Role,
    pub(crate) digest: bool,
    pub(crate) timeout: Duration,
    pub(crate) target: Target,
}

impl AlertsConfig {
    /// Checks everything that can be checked without touching a file.
    pub fn plan(&self) -> Result<Plan, NotifyError> {
        let wrong = |message: String, fix: &str| NotifyError::Alerts {
            message,
            fix: fix.to_owned(),
        };
        if self.channel.len() > CHANNELS_MAX {
            return Err(wrong(
                format!("{} channels", self.channel.len()),
                "32 is the limit",
            ));
        }
        if self.retry_max < Duration::from_millis(100) || self.escalate_after.is_zero() {
            return Err(wrong(
                "retry_max and escalate_after must not be zero".into(),
                "write a duration such as 5m",
            ));
        }
        let mut channels: Vec<ChannelPlan> = Vec::new();
        for config in &self.channel {
            let channel = config.plan(self.group_for)?;
            if channels.iter().any(|other| other.name == channel.name) {
                return Err(Blame(&channel.name).error(
                    "there are two of this name",
                    "give one of them another name",
                ));
            }
            channels.push(channel);
        }
        Ok(Plan {
            channels,
            retry_max: self.retry_max,
            escalate_after: self.escalate_after,
            digest_at: self.digest_at,
            host: self.host.clone(),
        })
    }
}

impl Plan {
    /// The channels' names, in the order of the file.
    pub fn names(&self) -> Vec<&str> {
        self.channels.iter().map(|c| c.name.as_str()).collect()
    }
}

/// Makes errors about one channel.
#[derive(Clone, Copy)]
pub(crate) struct Blame<'a>(pub(crate) &'a str);

impl Blame<'_> {
    pub(crate) fn error(self, message: impl Into<String>, fix: impl Into<String>) -> NotifyError {
        NotifyError::Channel {
            channel: self.0.to_owned(),
            message: message.into(),
            fix: fix.into(),
        }
    }

    pub(crate) fn need<T: Clone>(
        self,
        key: &str,
        value: Option<&T>,
        fix: &str,
    ) -> Result<T, NotifyError> {
        let missing = || self.error(format!("{key} is missing"), fix);
        value.cloned().ok_or_else(missing)
    }

    /// A secret named by one of two keys.
    pub(crate) fn place(
        self,
        key: &str,
        file: Option<&PathBuf>,
        credential: Option<&String>,
    ) -> Result<Option<Place>, NotifyError> {
        match (file, credential) {
            (None, None) => Ok(None),
            (Some(file), None) => Ok(Some(Place::File(file.clone()))),
            (None, Some(name)) if name.is_empty() || name.contains('/') => Err(self.error(
                format!("{key}_credential = {name:?} is no name"),
                "write the name given to LoadCredential=",
            )),
            (None, Some(name)) => Ok(Some(Place::Credential(name.clone()))),
            (Some(_), Some(_)) => Err(self.error(
                format!("{key}_file and {key}_credential are both given"),
                "remove one of them",
            )),
        }
    }
}

impl ChannelConfig {
    fn plan(&self, group_for: Duration) -> Result<ChannelPlan, NotifyError> {
        let name = self.name.clone().unwrap_or_else(|| self.kind.clone());
        let blame = Blame(&name);
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) {
            return Err(blame.error(
                "this is no name for a channel",
                "use up to 32 of a-z, 0-9, - and _ (name = \"oncall\")",
            ));
        }
        let (kind, target) = target::of(self, blame)?;
        self.refuse_strangers(kind, blame)?;
        let severity = |key: &str, text: Option<&String>, default: Severity| match text {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|why: &str| blame.error(format!("{key} = {text:?}"), why)),
        };
        let quiet = match &self.quiet {
            None => None,
            Some(quiet) => Some(Quiet {
                hours: Span {
                    from: quiet.from,
                    until: quiet.until,
                },
                pass: severity("quiet.pass", quiet.pass.as_ref(), Severity::Critical)?,
            }),
        };
        let rules = Rules {
            min_severity: severity("min_severity", self.min_severity.as_ref(), Severity::Medium)?,
            window: self.group_for.unwrap_or(group_for),
            quiet,
        };
        let timeout = self.timeout.unwrap_or(Duration::from_secs(10));
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            return Err(blame.error("timeout must be above 0 and at most 2m", "write 10s"));
        }
        Ok(ChannelPlan {
            kind,
            rules,
            role: if self.escalation {
                Role::Escalation
            } else {
                Role::Alerts
            },
            digest: self
                .digest
                .unwrap_or_else(|| target.wants_digest() && !self.escalation),
            timeout,
            target,
            name,
        })
    }

    /// Keys that mean nothing to this kind are mistakes.
    fn refuse_strangers(&self, kind: &str, blame: Blame<'_>) -> Result<(), NotifyError> {
        for (key, set, kinds) in self.keys() {
            if set && !kinds.contains(&kind) {
                return Err(blame.error(
                    format!("{key} means nothing to kind = {kind:?}"),
                    format!("remove it; it belongs to {}", kinds.join(", ")),
                ));
            }
        }
        Ok(())
    }

    /// Keys that only some kinds have: whether this one is given, and to which it belongs.
    fn keys(&self) -> [(&'static str, bool, &'static [&'static str]); 25] {
        let mail: &[&str] = &["email"];
        let web: &[&str] = &["webhook", "slack", "teams", "discord", "ntfy", "pagerduty"];
        let tls: &[&str] = &[
            "email",
            "webhook",
            "slack",
            "teams",
            "discord",
            "ntfy",
            "pagerduty",
        ];
        let (hook, bearer): (&[&str], &[&str]) = (&["webhook"], &["webhook", "ntfy"]);
        let (pager, syslog): (&[&str], &[&str]) = (&["pagerduty"], &["syslog"]);
        [
            ("host", self.host.is_some(), mail),
            ("port", self.port.is_some(), mail),
            ("tls", self.tls.is_some(), mail),
            ("user", self.user.is_some(), mail),
            ("password_file", self.password_file.is_some(), mail),
            (
                "password_credential",
                self.password_credential.is_some(),
                mail,
            ),
            ("from", self.from.is_some(), mail),
            ("to", self.to.is_some(), mail),
            ("ca_file", self.ca_file.is_some(), tls),
            ("url", self.url.is_some(), web),
            ("url_file", self.url_file.is_some(), web),
            ("url_credential", self.url_credential.is_some(), web),
            ("plain_http", self.plain_http, web),
            ("secret_file", self.secret_file.is_some(), hook),
            ("secret_credential", self.secret_credential.is_some(), hook),
            ("token_file", self.token_file.is_some(), bearer),
            ("token_credential", self.token_credential.is_some(), bearer),
            ("topic", self.topic.is_some(), &["ntfy"]),
            ("routing_key_file", self.routing_key_file.is_some(), pager),
            (
                "routing_key_credential",
                self.routing_key_credential.is_some(),
                pager,
            ),
            ("address", self.address.is_some(), syslog),
            ("facility", self.facility.is_some(), syslog),
            ("format", self.format.is_some(), syslog),
            ("socket", self.socket.is_some(), &["journal"]),
            ("run", self.run.is_some(), &["command"]),
        ]
    }
}

fn span<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(d)?).map_err(D::Error::custom)
}

fn some_span<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    span(d).map(Some)
}

fn time_or_off<'de, D: Deserializer<'de>>(d: D) -> Result<Option<TimeOfDay>, D::Error> {
    match String::deserialize(d)?.as_str() {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        let config: AlertsConfig = toml::from_str(text).map_err(|e| e.to_string())?;
        config.plan().map_err(|e| e.to_string())
    }

    const MAIL: &str = "[[channel]]\nkind = \"email\"\nhost = \"mail.example.net\"\n\
                        from = \"posse@example.net\"\nto = [\"admin@example.net\"]\n";

    #[test]
    fn the_least_is_enough() {
        assert_eq!(plan("").unwrap().channels, []);
        let plan = plan(MAIL).unwrap();
        let channel = &plan.channels[0];
        assert_eq!((channel.name.as_str(), channel.kind), ("email", "email"));
        assert_eq!(channel.rules.min_severity, Severity::Medium);
        assert!(channel.digest && channel.role == Role::Alerts);
        assert_eq!(plan.digest_at, "07:00".parse().ok());
    }

    #[test]
    fn everything_that_cannot_be_meant_names_key_and_fix() {
        for (text, parts) in [
            ("chanel = []", ["unknown field", "channel"]),
            ("[[channel]]\nkind = \"fax\"", ["kind = \"fax\"", "email"]),
            (
                "[[channel]]\nkind = \"email\"",
                ["host is missing", "host ="],
            ),
            (
                "[[channel]]\nkind = \"webhook\"",
                ["url is missing", "url ="],
            ),
            (
                "[[channel]]\nkind = \"journal\"\ntopic = \"x\"",
                ["topic means nothing", "ntfy"],
            ),
            (
                "[[channel]]\nkind = \"journal\"\nname = \"a b\"",
                ["no name", "a-z"],
            ),
            (
                "[[channel]]\nkind = \"journal\"\nmin_severity = \"bad\"",
                ["min_severity", "medium"],
            ),
            (
                "[[channel]]\nkind = \"journal\"\n[[channel]]\nkind = \"journal\"",
                ["two", "another"],
            ),
            ("digest_at = \"7\"", ["time of day", "07:00"]),
            ("group_for = \"5\"", ["not a duration", "4h"]),
            ("retry_max = \"0\"", ["retry_max", "5m"]),
            (
                "[[channel]]\nkind = \"command\"\nrun = []",
                ["run", "absolute"],
            ),
            (
                "[[channel]]\nkind = \"command\"\nrun = [\"page\"]",
                ["run", "absolute"],
            ),
            (
                "[[channel]]\nkind = \"syslog\"\naddress = \"x\"",
                ["address", "udp://"],
            ),
            (
                "[[channel]]\nkind = \"webhook\"\nurl = \"http://192.0.2.1/\"",
                ["http", "plain_http"],
            ),
            (
                "[[channel]]\nkind = \"slack\"\nurl = \"ftp://x/\"",
                ["url", "https://"],
            ),
            (
                "[[channel]]\nkind = \"pagerduty\"",
                ["routing_key", "_file"],
            ),
        ] {
            let error = plan(text).unwrap_err();
            for part in parts {
                assert!(
                    error.contains(part),
                    "{part:?} is not in {error:?} for {text:?}"
                );
            }
        }
    }

    #[test]
    fn a_password_does_not_go_in_the_clear() {
        let text = format!("{MAIL}user = \"u\"\npassword_file = \"/x\"\ntls = \"none\"\n");
        assert!(plan(&text).unwrap_err().contains("unencrypted"));
        assert!(plan(&text.replace("mail.example.net", "127.0.0.1")).is_ok());
        let without = format!("{MAIL}user = \"u\"\n");
        assert!(plan(&without).unwrap_err().contains("password"));
    }

    #[test]
    fn digests_go_where_people_read() {
        let text = format!(
            "{MAIL}[[channel]]\nkind = \"journal\"\n[[channel]]\nkind = \"journal\"\n\
             name = \"j2\"\ndigest = true\nescalation = true\n"
        );
        let plan = plan(&text).unwrap();
        let digests: Vec<bool> = plan.channels.iter().map(|c| c.digest).collect();
        assert_eq!(digests, [true, false, true]);
    }
}
