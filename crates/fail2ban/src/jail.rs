//! The jails of `jail.conf`, `jail.local` and `jail.d`: which filter watches what, and what for.

use crate::{Call, Config, Error, Files, Filter, Options, duration, parse_call, read_filter};

/// What a host's name in a log may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseDns {
    /// Names count; who runs the jail decides whether they are looked up.
    #[default]
    Yes,
    /// Only addresses count.
    No,
    /// What stands there is the identity, whatever it is.
    Raw,
}

/// How ban times grow for those who come back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Increment {
    pub enabled: bool,
    pub factor: Option<f64>,
    /// Seconds that no ban exceeds.
    pub max_seconds: Option<i64>,
    pub multipliers: Vec<f64>,
    pub random_seconds: Option<i64>,
    pub overall_jails: bool,
    /// A formula in Python; only the usual one can be followed.
    pub formula: Option<String>,
}

/// One jail, resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jail {
    pub name: String,
    pub enabled: bool,
    pub filter: Filter,
    pub log_paths: Vec<String>,
    pub backend: String,
    pub journal_match: Option<String>,
    pub port: String,
    pub protocol: String,
    pub max_retry: u32,
    pub max_matches: u32,
    pub find_seconds: i64,
    /// Negative: for ever.
    pub ban_seconds: i64,
    pub increment: Increment,
    pub use_dns: UseDns,
    /// Addresses, networks and names that are never banned by this jail.
    pub ignore: Vec<String>,
    pub ignore_self: bool,
    /// A command that would decide; it is not run.
    pub ignore_command: Option<String>,
    /// `logtimezone`, as `UTC+02:00` or empty.
    pub time_zone: Option<String>,
}

/// Options of a jail that also stand above its filter's.
const PASSED_ON: &[&str] = &[
    "failregex",
    "ignoreregex",
    "prefregex",
    "datepattern",
    "maxlines",
    "journalmatch",
];

/// The jails' names in file order, enabled or not.
pub fn jail_names(files: &Files) -> Result<Vec<String>, Error> {
    let config = Config::read(files, "jail")?;
    Ok(config.sections().map(str::to_owned).collect())
}

/// The names of the jails that say they are enabled, in file order, and of those of which that
/// cannot be read: reading such a jail names the mistake.
pub fn enabled_jails(files: &Files) -> Result<Vec<String>, Error> {
    let config = Config::read(files, "jail")?;
    let is_enabled = |name: &&str| {
        let look = Look {
            config: &config,
            name,
        };
        look.flag("enabled").unwrap_or(true)
    };
    let names = config.sections().filter(is_enabled);
    Ok(names.map(str::to_owned).collect())
}

/// Reads jail `name` with its filter.
pub fn read_jail(files: &Files, name: &str) -> Result<Jail, Error> {
    let config = Config::read(files, "jail")?;
    if !config.has_section(name) {
        return Err(Error::NoJail {
            file: config.file,
            name: name.to_owned(),
        });
    }
    let look = Look {
        config: &config,
        name,
    };
    let backend = look.text("backend")?.unwrap_or_else(|| "auto".to_owned());
    let mut call = match look.text("filter")? {
        Some(text) => parse_call(&text),
        None => Call {
            name: name.to_owned(),
            options: Options::new(),
        },
    };
    let logtype = if backend.starts_with("systemd") {
        "journal"
    } else {
        "file"
    };
    call.options
        .entry("logtype".to_owned())
        .or_insert_with(|| logtype.to_owned());
    let mut own = Options::new();
    for key in PASSED_ON {
        if let Some(value) = look.raw_over_filter(key)? {
            own.insert((*key).to_owned(), value);
        }
    }
    let filter = if call.name.is_empty() {
        Filter::default()
    } else {
        read_filter(files, &call.name, &call.options, &own)?
    };
    let max_retry = look.number("maxretry", 5)?;
    Ok(Jail {
        enabled: look.flag("enabled")?,
        log_paths: look.words("logpath", &['\n'])?,
        journal_match: filter.journalmatch.clone(),
        port: look.text("port")?.unwrap_or_default(),
        protocol: look.text("protocol")?.unwrap_or_else(|| "tcp".to_owned()),
        max_retry,
        max_matches: look.number("maxmatches", max_retry)?,
        find_seconds: look.span("findtime", 600)?,
        ban_seconds: look.span("bantime", 600)?,
        increment: look.increment()?,
        use_dns: match look.text("usedns")?.as_deref() {
            Some("no") => UseDns::No,
            Some("raw") => UseDns::Raw,
            _ => UseDns::Yes,
        },
        ignore: look.words("ignoreip", &[' ', ',', '\n', '\t'])?,
        ignore_self: look.text("ignoreself")?.is_none_or(|t| is_true(&t)),
        ignore_command: look.text("ignorecommand")?,
        time_zone: look.text("logtimezone")?,
        backend,
        filter,
        name: name.to_owned(),
    })
}

struct Look<'a> {
    config: &'a Config,
    name: &'a str,
}

impl Look<'_> {
    /// The value, unless absent or empty.
    fn text(&self, key: &str) -> Result<Option<String>, Error> {
        let value = self.config.get(self.name, key, &Options::new())?;
        Ok(value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()))
    }

    /// A filter's option that the jail (not only its defaults) sets. A reference to what the
    /// filter itself says (`%(known/failregex)s`) is left for the filter to resolve.
    fn raw_over_filter(&self, key: &str) -> Result<Option<String>, Error> {
        let sets = self.config.keys(self.name).any(|k| k == key);
        if !sets {
            return Ok(None);
        }
        let mut given = Options::new();
        let known = format!("known/{key}");
        given.insert(known.clone(), format!("<{known}>"));
        let value = self.config.get(self.name, key, &given)?;
        // A percent sign that was escaped must survive the filter's own reading.
        Ok(value.map(|v| {
            v.replace('%', "%%")
                .replace(&format!("<{known}>"), &format!("%({known})s"))
        }))
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        Ok(self.text(key)?.is_some_and(|text| is_true(&text)))
    }

    fn words(&self, key: &str, between: &[char]) -> Result<Vec<String>, Error> {
        let text = self.text(key)?.unwrap_or_default();
        Ok(text
            .split(between)
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect())
    }

    fn number(&self, key: &str, otherwise: u32) -> Result<u32, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(otherwise);
        };
        text.parse()
            .map_err(|_| self.wrong(key, text, "expected a whole number"))
    }

    fn span(&self, key: &str, otherwise: i64) -> Result<i64, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(otherwise);
        };
        duration::seconds(&text)
            .ok_or_else(|| self.wrong(key, text, "expected a time span such as 600 or 1h 30m"))
    }

    fn increment(&self) -> Result<Increment, Error> {
        let span = |key: &str| match self.text(key)? {
            Some(_) => self.span(key, 0).map(Some),
            None => Ok(None),
        };
        let factor = match self.text("bantime.factor")? {
            Some(text) => Some(ratio(&text).ok_or_else(|| {
                self.wrong("bantime.factor", text, "expected a number such as 1.5")
            })?),
            None => None,
        };
        let mut multipliers = Vec::new();
        for word in self.words("bantime.multipliers", &[' ', ',', '\n'])? {
            let Ok(number) = word.parse() else {
                return Err(self.wrong("bantime.multipliers", word, "expected numbers"));
            };
            multipliers.push(number);
        }
        Ok(Increment {
            enabled: self.flag("bantime.increment")?,
            factor,
            max_seconds: span("bantime.maxtime")?,
            multipliers,
            random_seconds: span("bantime.rndtime")?,
            overall_jails: self.flag("bantime.overalljails")?,
            formula: self.text("bantime.formula")?,
        })
    }

    fn wrong(&self, key: &str, value: String, reason: &'static str) -> Error {
        Error::Value {
            file: self.config.file.clone(),
            section: self.name.to_owned(),
            key: key.to_owned(),
            value,
            reason,
        }
    }
}

/// A number, or one number over another (`2.0 / 2.885385`).
fn ratio(text: &str) -> Option<f64> {
    let text = text.trim_matches('"');
    match text.split_once('/') {
        Some((a, b)) => Some(a.trim().parse::<f64>().ok()? / b.trim().parse::<f64>().ok()?),
        None => text.trim().parse().ok(),
    }
}

fn is_true(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "1" | "on" | "true" | "yes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(jails: &str) -> Files {
        let mut files = Files::default();
        files.insert("jail.conf", jails);
        files.insert(
            "filter.d/door.conf",
            "[Definition]\nfailregex = ^<mode> <HOST>$\nmode = knock\nlogtype = none\n",
        );
        files
    }

    #[test]
    fn a_jail_with_its_filter() {
        let files = files(
            "[DEFAULT]\nfilter = %(__name__)s[mode=%(mode)s]\nmode = knock\nbantime = 10m\n\
             maxmatches = %(maxretry)s\nignoreip = 127.0.0.1/8 ::1,192.0.2.1\n\
             [door]\nmode = kick\nmaxretry = 3\nbantime = 1h\nbantime.increment = true\n\
             bantime.multipliers = 1 2 4\nlogpath = /a b\n  /c\nenabled = yes\n[x]\nfilter = none\n",
        );
        assert_eq!(jail_names(&files).unwrap(), ["door", "x"]);
        let jail = read_jail(&files, "door").unwrap();
        assert_eq!(jail.filter.failregex, ["^kick <HOST>$"]);
        assert_eq!((jail.max_retry, jail.max_matches), (3, 3));
        assert_eq!((jail.ban_seconds, jail.find_seconds), (3_600, 600));
        assert_eq!(jail.log_paths, ["/a b", "/c"]);
        assert_eq!(jail.ignore, ["127.0.0.1/8", "::1", "192.0.2.1"]);
        assert!(jail.enabled && jail.increment.enabled);
        assert_eq!(jail.increment.multipliers, [1.0, 2.0, 4.0]);
        assert!(matches!(read_jail(&files, "x"), Err(Error::Missing { .. })));
        assert!(matches!(read_jail(&files, "y"), Err(Error::NoJail { .. })));
    }

    #[test]
    fn a_wrong_value_names_jail_and_key() {
        let files = files("[door]\nfindtime = soon\n");
        let error = read_jail(&files, "door").unwrap_err();
        assert!(
            error.to_string().contains("[door] findtime = soon"),
            "{error}"
        );
    }

    #[test]
    fn a_jail_adds_to_its_filter() {
        let files = files("[door]\nfailregex = %(known/failregex)s\n  ^push 5%% <HOST>\n");
        let jail = read_jail(&files, "door").unwrap();
        assert_eq!(jail.filter.failregex, ["^knock <HOST>$", "^push 5% <HOST>"]);
    }
}
