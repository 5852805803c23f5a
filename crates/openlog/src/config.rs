//! Who is asked to vouch for the ledger: the keys of `[ledger]` that concern others. Files are
//! read once, before the program shuts itself in.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ledger::{CosignerKey, POLICY_BYTES_MAX, Policy};
use serde::Deserialize;
use store::{WITNESSES_MAX, WitnessSetup};

use crate::{OpenLogError, error::io_at};

const AUTHORITIES_MAX: usize = 8;
const CA_BYTES_MAX: usize = 256 << 10;
const STAMP_EVERY: Duration = Duration::from_secs(86_400);
const STAMP_EVERY_MIN: Duration = Duration::from_secs(60);
const LAG_MAX: Duration = Duration::from_secs(600);

/// A witness (C2SP tlog-witness) that is asked to cosign.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    pub name: String,
    /// Its public key, as `posse witness key` prints it.
    pub vkey: String,
    /// Its submission prefix.
    pub url: String,
}

/// A time stamping authority (RFC 3161).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityConfig {
    pub name: String,
    pub url: String,
    /// The root that its certificate leads to, PEM. Without it a stamp is kept whose signer
    /// nobody vouches for.
    pub ca: Option<PathBuf>,
}

/// What `[ledger]` says about others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessesConfig {
    pub witnesses: Vec<WitnessConfig>,
    /// A C2SP tlog-policy; without one a single cosignature is enough.
    pub policy: Option<PathBuf>,
    /// How long a witness may be behind before that is told of.
    pub witness_lag: Option<Duration>,
    pub stamp_authorities: Vec<AuthorityConfig>,
    pub stamp_every: Option<Duration>,
}

/// The same with its files read and everything checked.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub witnesses: Vec<WitnessSetup>,
    pub policy: Option<String>,
    pub(crate) lag: Duration,
    pub(crate) authorities: Vec<Authority>,
    pub(crate) stamp_every: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) ca_pem: Option<String>,
}

impl WitnessesConfig {
    pub fn read(&self) -> Result<Setup, OpenLogError> {
        self.check()?;
        let witnesses: Vec<WitnessSetup> = self
            .witnesses
            .iter()
            .map(|w| WitnessSetup {
                name: w.name.clone(),
                vkey: w.vkey.clone(),
                url: w.url.clone(),
            })
            .collect();
        let policy = match &self.policy {
            Some(path) => Some(read_policy(path)?),
            None => any_of(&witnesses),
        };
        let authority = |a: &AuthorityConfig| {
            Ok(Authority {
                name: a.name.clone(),
                url: a.url.clone(),
                ca_pem: a.ca.as_deref().map(read_ca).transpose()?,
            })
        };
        Ok(Setup {
            witnesses,
            policy,
            lag: self.witness_lag.unwrap_or(LAG_MAX),
            authorities: self
                .stamp_authorities
                .iter()
                .map(authority)
                .collect::<Result<_, OpenLogError>>()?,
            stamp_every: self.stamp_every.unwrap_or(STAMP_EVERY),
        })
    }

    fn check(&self) -> Result<(), OpenLogError> {
        let bad = |what: String, why: String| Err(OpenLogError::Config { what, why });
        if self.witnesses.len() > WITNESSES_MAX {
            let why = format!("more than {WITNESSES_MAX}");
            return bad("witnesses".into(), why);
        }
        if self.stamp_authorities.len() > AUTHORITIES_MAX {
            let why = format!("more than {AUTHORITIES_MAX}");
            return bad("stamp_authorities".into(), why);
        }
        for (at, witness) in self.witnesses.iter().enumerate() {
            let what = format!("witness {:?}", witness.name);
            if let Err(e) = CosignerKey::parse(&witness.vkey) {
                return bad(what, format!("vkey: {e}"));
            }
            let before = self.witnesses.iter().take(at);
            if before
                .into_iter()
                .any(|w| w.vkey == witness.vkey || w.name == witness.name)
            {
                return bad(what, "listed twice".into());
            }
            if !is_word(&witness.name) {
                return bad(what, "its name must be one word".into());
            }
            check_url(&what, &witness.url)?;
        }
        for authority in &self.stamp_authorities {
            check_url(
                &format!("stamp authority {:?}", authority.name),
                &authority.url,
            )?;
        }
        match self.stamp_every {
            Some(every) if every < STAMP_EVERY_MIN => {
                bad("stamp_every".into(), "it is at least 1m".into())
            }
            _ => Ok(()),
        }
    }

    /// Files that are read beside the configuration itself.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let cas = self
            .stamp_authorities
            .iter()
            .filter_map(|a| a.ca.as_deref());
        self.policy.as_deref().into_iter().chain(cas)
    }

    /// Everything that is connected to.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let witnesses = self.witnesses.iter().map(|w| w.url.as_str());
        witnesses.chain(self.stamp_authorities.iter().map(|a| a.url.as_str()))
    }
}

impl Setup {
    /// Whether anyone is asked for anything.
    pub fn is_empty(&self) -> bool {
        self.witnesses.is_empty() && self.authorities.is_empty()
    }
}

/// Without a policy of its own: any one of the witnesses.
fn any_of(witnesses: &[WitnessSetup]) -> Option<String> {
    if witnesses.is_empty() {
        return None;
    }
    let mut text = String::new();
    let mut names = String::new();
    for witness in witnesses {
        text += &format!("witness {} {}\n", witness.name, witness.vkey);
        names += &format!(" {}", witness.name);
    }
    Some(format!(
        "{text}group posse-any any{names}\nquorum posse-any\n"
    ))
}

fn is_word(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && c != '#';
    !name.is_empty() && name != "none" && name != "posse-any" && name.chars().all(plain)
}

fn check_url(what: &str, url: &str) -> Result<(), OpenLogError> {
    let bad = |why: &str| OpenLogError::Config {
        what: what.to_owned(),
        why: format!("url {url:?}: {why}"),
    };
    let uri: ureq::http::Uri = url.parse().map_err(|_| bad("not a URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(()),
        _ => Err(bad("write http://HOST[:PORT]/… or https://…")),
    }
}

fn read_policy(path: &Path) -> Result<String, OpenLogError> {
    let bad = |why: String| OpenLogError::Config {
        what: format!("policy {}", path.display()),
        why,
    };
    let text = read_bounded(path, POLICY_BYTES_MAX)?;
    Policy::parse(text.as_bytes()).map_err(|e| bad(e.to_string()))?;
    Ok(text)
}

fn read_ca(path: &Path) -> Result<String, OpenLogError> {
    let text = read_bounded(path, CA_BYTES_MAX)?;
    match crate::stamp::roots(&text) {
        Ok(_) => Ok(text),
        Err(e) => Err(OpenLogError::Config {
            what: format!("ca {}", path.display()),
            why: e.to_string(),
        }),
    }
}

fn read_bounded(path: &Path, max: usize) -> Result<String, OpenLogError> {
    let file = File::open(path).map_err(io_at(path, "open"))?;
    let mut text = String::new();
    file.take(max as u64 + 1)
        .read_to_string(&mut text)
        .map_err(io_at(path, "read"))?;
    if text.len() > max {
        return Err(OpenLogError::Config {
            what: path.display().to_string(),
            why: format!("more than {max} bytes"),
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(name: &str, seed: u8) -> WitnessConfig {
        let key = ledger::CosigningKey::from_seed("w.example", [seed; 32]).unwrap();
        WitnessConfig {
            name: name.into(),
            vkey: key.public().to_string(),
            url: "http://127.0.0.1:7440/".into(),
        }
    }

    #[test]
    fn without_a_policy_any_witness_is_enough() {
        let config = WitnessesConfig {
            witnesses: vec![witness("police", 1), witness("cert", 2)],
            ..WitnessesConfig::default()
        };
        let setup = config.read().unwrap();
        let text = setup.policy.unwrap();
        assert!(text.ends_with("group posse-any any police cert\nquorum posse-any\n"));
        assert!(Policy::parse(text.as_bytes()).is_ok());
        assert!(WitnessesConfig::default().read().unwrap().policy.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let mut unreachable = witness("cert", 2);
        unreachable.url = "ftp://127.0.0.1/".into();
        let mut log_key = witness("cert", 2);
        log_key.vkey = ledger::SigningKey::from_seed("l.example", [3; 32])
            .unwrap()
            .public()
            .to_string();
        for (config, word) in [
            (vec![witness("a", 1), witness("b", 1)], "listed twice"),
            (vec![witness("a", 1), witness("a", 2)], "listed twice"),
            (vec![witness("none", 1)], "one word"),
            (vec![witness("two words", 1)], "one word"),
            (vec![unreachable], "url"),
            (vec![log_key], "type 0x04"),
        ] {
            let config = WitnessesConfig {
                witnesses: config,
                ..WitnessesConfig::default()
            };
            let error = config.read().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
