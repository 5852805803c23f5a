//! Where a channel goes to, typed. Pure: files and addresses are named, not opened.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use crate::{
    config::{Blame, ChannelConfig},
    error::NotifyError,
    render::syslog::FACILITY_DEFAULT,
    secret::Place,
};

const KINDS: &str =
    "email, webhook, slack, teams, discord, ntfy, pagerduty, syslog, journal, command";
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const JOURNAL: &str = "/run/systemd/journal/socket";
const ARGUMENTS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Email(Email),
    Web(Web),
    Syslog(Syslog),
    Journal { socket: PathBuf },
    Command { run: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Email {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) login: Option<(String, Place)>,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// From the first byte (RFC 8314).
    Implicit,
    None,
    /// RFC 3207 (STARTTLS); a server that does not offer it is refused.
    Upgrade,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Web {
    pub(crate) url: Url,
    pub(crate) transport: Http,
    pub(crate) form: Form,
    pub(crate) ca_file: Option<PathBuf>,
}

/// Many services' addresses are secrets themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Url {
    Known(String),
    Secret(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    /// Unencrypted also beyond this machine.
    Plain,
    Secure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Discord,
    Ntfy {
        topic: String,
        token: Option<Place>,
    },
    PagerDuty {
        routing_key: Place,
    },
    Posse {
        secret: Option<Place>,
        token: Option<Place>,
    },
    Slack,
    Teams,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Syslog {
    pub(crate) to: SyslogTo,
    pub(crate) facility: u8,
    pub(crate) format: SyslogFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyslogTo {
    Tcp(String),
    Udp(String),
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyslogFormat {
    /// As `syslog(3)` writes to `/dev/log`.
    Local,
    Rfc5424,
}

impl Target {
    /// People read it, and it wakes nobody.
    pub(crate) const fn wants_digest(&self) -> bool {
        match self {
            Self::Web(web) => !matches!(web.form, Form::PagerDuty { .. }),
            Self::Email(_) | Self::Command { .. } => true,
            Self::Syslog(_) | Self::Journal { .. } => false,
        }
    }
}

pub(crate) fn of(
    config: &ChannelConfig,
    blame: Blame<'_>,
) -> Result<(&'static str, Target), NotifyError> {
    Ok(match config.kind.as_str() {
        "email" => ("email", Target::Email(email(config, blame)?)),
        "webhook" => {
            let secret = blame.place(
                "secret",
                config.secret_file.as_ref(),
                config.secret_credential.as_ref(),
            )?;
            let form = Form::Posse {
                secret,
                token: token(config, blame)?,
            };
            ("webhook", web(config, form, blame)?)
        }
        "slack" => ("slack", web(config, Form::Slack, blame)?),
        "teams" => ("teams", web(config, Form::Teams, blame)?),
        "discord" => ("discord", web(config, Form::Discord, blame)?),
        "ntfy" => {
            let fix = "write topic = \"…\", as subscribed to";
            let topic = blame.need("topic", config.topic.as_ref(), fix)?;
            let form = Form::Ntfy {
                topic,
                token: token(config, blame)?,
            };
            ("ntfy", web(config, form, blame)?)
        }
        "pagerduty" => ("pagerduty", pagerduty(config, blame)?),
        "syslog" => ("syslog", Target::Syslog(syslog(config, blame)?)),
        "journal" => {
            let socket = config.socket.clone().unwrap_or_else(|| JOURNAL.into());
            ("journal", Target::Journal { socket })
        }
        "command" => (
            "command",
            Target::Command {
                run: command(config, blame)?,
            },
        ),
        other => {
            return Err(blame.error(
                format!("kind = {other:?} is not known"),
                format!("use one of {KINDS}"),
            ));
        }
    })
}

fn token(config: &ChannelConfig, blame: Blame<'_>) -> Result<Option<Place>, NotifyError> {
    blame.place(
        "token",
        config.token_file.as_ref(),
        config.token_credential.as_ref(),
    )
}

fn email(config: &ChannelConfig, blame: Blame<'_>) -> Result<Email, NotifyError> {
    let host = blame.need(
        "host",
        config.host.as_ref(),
        "write host = \"mail.example.net\", the server that takes your mail",
    )?;
    let tls = match config.tls.as_deref() {
        None | Some("starttls") => Tls::Upgrade,
        Some("implicit") => Tls::Implicit,
        Some("none") => Tls::None,
        Some(other) => {
            return Err(blame.error(
                format!("tls = {other:?} is not known"),
                "use starttls (port 587), implicit (port 465) or none (port 25)",
            ));
        }
    };
    let login = login(config, &host, tls, blame)?;
    let port = config.port.unwrap_or(match tls {
        Tls::Implicit => 465,
        Tls::None => 25,
        Tls::Upgrade => 587,
    });
    let from = blame.need(
        "from",
        config.from.as_ref(),
        "write from = \"posse@example.net\"",
    )?;
    let to = blame.need(
        "to",
        config.to.as_ref(),
        "write to = [\"admin@example.net\"]",
    )?;
    for mailbox in to.iter().chain([&from]) {
        if mailbox.parse::<lettre::message::Mailbox>().is_err() {
            return Err(blame.error(
                format!("{mailbox:?} is no mail address"),
                "write admin@example.net or \"The admins <admin@example.net>\"",
            ));
        }
    }
    if to.is_empty() {
        return Err(blame.error("to is empty", "write to = [\"admin@example.net\"]"));
    }
    Ok(Email {
        host,
        port,
        tls,
        ca_file: config.ca_file.clone(),
        login,
        from,
        to,
    })
}

/// Name and password, never unencrypted beyond this machine.
fn login(
    config: &ChannelConfig,
    host: &str,
    tls: Tls,
    blame: Blame<'_>,
) -> Result<Option<(String, Place)>, NotifyError> {
    let place = blame.place(
        "password",
        config.password_file.as_ref(),
        config.password_credential.as_ref(),
    )?;
    let login = match (config.user.clone(), place) {
        (None, None) => None,
        (Some(user), Some(place)) => Some((user, place)),
        _ => {
            return Err(blame.error(
                "user and a password belong together",
                "give user and password_file (or password_credential), or neither",
            ));
        }
    };
    if login.is_some() && tls == Tls::None && !is_loopback(host) {
        return Err(blame.error(
            "the password would go unencrypted",
            "write tls = \"starttls\" or tls = \"implicit\"",
        ));
    }
    Ok(login)
}

fn web(config: &ChannelConfig, form: Form, blame: Blame<'_>) -> Result<Target, NotifyError> {
    let place = blame.place(
        "url",
        config.url_file.as_ref(),
        config.url_credential.as_ref(),
    )?;
    let transport = if config.plain_http {
        Http::Plain
    } else {
        Http::Secure
    };
    let url = match (&config.url, place) {
        (Some(url), None) => {
            check_url(url, transport, blame)?;
            Url::Known(url.clone())
        }
        (None, Some(place)) => Url::Secret(place),
        (None, None) => {
            return Err(blame.error(
                "url is missing",
                "write url = \"https://…\", or url_file when the address itself is a secret",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(blame.error("there are two urls", "remove url or the other one"));
        }
    };
    Ok(Target::Web(Web {
        url,
        transport,
        form,
        ca_file: config.ca_file.clone(),
    }))
}

fn pagerduty(config: &ChannelConfig, blame: Blame<'_>) -> Result<Target, NotifyError> {
    let routing_key = blame
        .place(
            "routing_key",
            config.routing_key_file.as_ref(),
            config.routing_key_credential.as_ref(),
        )?
        .ok_or_else(|| {
            blame.error(
                "routing_key_file is missing",
                "put the integration key in a file and name it: routing_key_file = \"…\"",
            )
        })?;
    let mut config = config.clone();
    if config.url.is_none() && config.url_file.is_none() && config.url_credential.is_none() {
        config.url = Some(PAGERDUTY.to_owned());
    }
    web(&config, Form::PagerDuty { routing_key }, blame)
}

/// Encrypted, or to this machine, or the operator says that it may be plain.
pub(crate) fn check_url(url: &str, transport: Http, blame: Blame<'_>) -> Result<(), NotifyError> {
    let bad = || {
        blame.error(
            "url is no address of a web service",
            "write url = \"https://…\"",
        )
    };
    if url.contains(|c: char| c.is_control() || c == ' ') {
        return Err(bad());
    }
    let uri: ureq::http::Uri = url.parse().map_err(|_| bad())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if transport == Http::Plain || is_loopback(host) => Ok(()),
        Some("http") => Err(blame.error(
            "the alert would go unencrypted (http)",
            "write https://, or plain_http = true if the network between is your own",
        )),
        _ => Err(bad()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn syslog(config: &ChannelConfig, blame: Blame<'_>) -> Result<Syslog, NotifyError> {
    let address = config.address.as_deref().unwrap_or("unix:/dev/log");
    let bad = || {
        blame.error(
            format!("address = {address:?} is not understood"),
            "write udp://HOST:PORT, tcp://HOST:PORT or unix:PATH",
        )
    };
    let network = |rest: &str| {
        let rest = rest.strip_prefix("//")?;
        let named = rest.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok()
        });
        (named || rest.parse::<SocketAddr>().is_ok()).then(|| rest.to_owned())
    };
    let to = match address.split_once(':').ok_or_else(bad)? {
        ("udp", rest) => SyslogTo::Udp(network(rest).ok_or_else(bad)?),
        ("tcp", rest) => SyslogTo::Tcp(network(rest).ok_or_else(bad)?),
        ("unix", path) if path.starts_with('/') => SyslogTo::Unix(path.into()),
        _ => return Err(bad()),
    };
    let format = match (config.format.as_deref(), &to) {
        (Some("rfc5424"), _) | (None, SyslogTo::Tcp(_) | SyslogTo::Udp(_)) => SyslogFormat::Rfc5424,
        (Some("local"), _) | (None, SyslogTo::Unix(_)) => SyslogFormat::Local,
        (Some(other), _) => {
            return Err(blame.error(
                format!("format = {other:?} is not known"),
                "use rfc5424 (the network) or local (/dev/log)",
            ));
        }
    };
    let facility = match &config.facility {
        None => FACILITY_DEFAULT,
        Some(name) => facility(name).ok_or_else(|| {
            blame.error(
                format!("facility = {name:?} is not known"),
                "use auth, authpriv, daemon, user or local0 to local7",
            )
        })?,
    };
    Ok(Syslog {
        to,
        facility,
        format,
    })
}

/// RFC 5424 §6.2.1, table 1.
fn facility(name: &str) -> Option<u8> {
    match name {
        "user" => Some(1),
        "daemon" => Some(3),
        "auth" => Some(4),
        "authpriv" => Some(10),
        _ => {
            let number: u8 = name.strip_prefix("local")?.parse().ok()?;
            (number < 8).then_some(16 + number)
        }
    }
}

fn command(config: &ChannelConfig, blame: Blame<'_>) -> Result<Vec<String>, NotifyError> {
    let fix = "write run = [\"/usr/local/bin/page\", \"argument\"], an absolute path first";
    let run = blame.need("run", config.run.as_ref(), fix)?;
    let program = run.first().filter(|program| program.starts_with('/'));
    if program.is_none() || run.len() > ARGUMENTS_MAX || run.iter().any(|a| a.contains('\0')) {
        return Err(blame.error("run does not name a program", fix));
    }
    Ok(run)
}
