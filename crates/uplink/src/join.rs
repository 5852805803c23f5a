//! Joining: the token names the hub's CA, this machine makes its keys, the hub gives a
//! certificate.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fleet::{SigningKey, api};

use crate::{
    address::HubUrl,
    client::Connection,
    clock,
    error::UplinkError,
    membership::{Membership, TlsKey},
    tls,
};

const TOKEN_PREFIX: &str = "pj1.";
const HALF: usize = 32;
const PATIENCE: Duration = Duration::from_secs(30);

/// An invitation: the hash of the hub's CA certificate, and a one-time secret. See docs/hub.md.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) authority: [u8; HALF],
    text: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl FromStr for Token {
    type Err = UplinkError;

    fn from_str(text: &str) -> Result<Self, UplinkError> {
        let text = text.trim();
        let bytes = text
            .strip_prefix(TOKEN_PREFIX)
            .and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok())
            .filter(|bytes| bytes.len() == 2 * HALF);
        let authority = bytes.as_ref().and_then(|bytes| bytes.first_chunk());
        Ok(Self {
            authority: *authority.ok_or(UplinkError::Token)?,
            text: text.to_owned(),
        })
    }
}

/// What to join, and as whom.
#[derive(Clone, Debug)]
pub struct JoinOptions<'a> {
    pub state: &'a Path,
    pub hub: &'a HubUrl,
    pub token: &'a str,
    /// How this machine calls itself.
    pub name: &'a str,
    pub version: &'a str,
    pub membership: Existing,
}

/// What becomes of a membership that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Keep,
    Replace,
}

/// Joins and stores what came of it.
pub fn join(options: &JoinOptions<'_>) -> Result<Membership, UplinkError> {
    let token: Token = options.token.parse()?;
    // A damaged one keeps nobody from joining anew.
    if let (Existing::Keep, Ok(Some(old))) = (options.membership, Membership::load(options.state)) {
        return Err(UplinkError::Member {
            hub: old.hub.to_string(),
            organisation: old.organisation.to_string(),
        });
    }
    let tls_key = TlsKey::generate()?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| UplinkError::Key("no randomness"))?;
    let request = api::JoinRequest {
        token: token.text.clone(),
        name: options.name.to_owned(),
        tls_key: tls_key.public.clone(),
        statement_key: SigningKey::from_seed(&seed)?.public(),
        version: options.version.to_owned(),
    };
    let answer = ask(options.hub, &token, &request)?;
    if !tls::is_named(&answer.ca, &token) {
        return Err(UplinkError::Answer {
            hub: options.hub.to_string(),
            why: "it gave another CA than the token names".to_owned(),
        });
    }
    let membership = Membership {
        hubs: vec![options.hub.clone()],
        hub: answer.hub_organisation,
        organisation: answer.organisation,
        role: answer.role,
        name: answer.name,
        communities: answer.communities,
        roster_key: answer.roster_key,
        joined: clock::wall(),
        authority: answer.ca,
        certificate: answer.certificate,
        issued: clock::wall(),
        valid_seconds: answer.valid_seconds,
        renew_after_seconds: answer.renew_after_seconds,
        tls_key: tls_key.pkcs8,
        statement_seed: Membership::secret(&seed),
    };
    // Whether certificate and key fit is better known now than at the first connection.
    tls::member(&membership)?;
    membership.save(options.state)?;
    Ok(membership)
}

fn ask(
    hub: &HubUrl,
    token: &Token,
    request: &api::JoinRequest,
) -> Result<api::Membership, UplinkError> {
    let config = tls::stranger(token)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(UplinkError::Thread)?;
    runtime.block_on(async {
        let talk = async {
            let mut connection = Connection::open(hub, config).await?;
            connection.post_json("/fleet/v1/join", request).await
        };
        let silent = UplinkError::Silent {
            hub: hub.to_string(),
            seconds: PATIENCE.as_secs(),
        };
        tokio::time::timeout(PATIENCE, talk)
            .await
            .map_err(|_| silent)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_whole_or_not_at_all() {
        let text = format!("pj1.{}", URL_SAFE_NO_PAD.encode([7; 64]));
        let token: Token = format!(" {text}\n").parse().unwrap();
        assert_eq!(
            (token.authority, token.text.as_str()),
            ([7; 32], text.as_str())
        );
        assert!(!format!("{token:?}").contains(&text));
        for wrong in ["", "pj1.", &text[1..], &text[..text.len() - 2]] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
    }
}
