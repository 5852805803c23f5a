//! Who may ask, and what every answer says to browsers. Pure: it sees heads only.
//!
//! Against a web site that makes a browser on this machine ask for it: only known names in `Host`
//! (DNS rebinding), no requests that another site's page started, no answer that another site's
//! page could read or frame. Against everybody else: the token, when there is one.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// What a reader must show. Kept as its hash, so that comparing tells nothing by its time.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    fn is(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.0 == shown
    }
}

#[derive(Clone)]
pub(crate) struct Gate {
    hosts: BTreeSet<String>,
    token: Option<Token>,
}

/// Why an answer is only an excuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Something other than looking.
    Method,
    /// A name that is not this machine's.
    Host,
    /// Another site's page asks.
    OtherSite,
    Token,
}

impl Gate {
    pub(crate) fn new(names: &[String], listen: IpAddr, token: Option<Token>) -> Self {
        let mut hosts = BTreeSet::from(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        if !listen.is_unspecified() {
            hosts.insert(match listen {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => bracketed(address),
            });
        }
        hosts.extend(
            names
                .iter()
                .map(|name| without_port(name).to_ascii_lowercase()),
        );
        Self { hosts, token }
    }

    pub(crate) fn admit(&self, method: &Method, head: &HeaderMap) -> Result<(), Closed> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Closed::Method);
        }
        if !self.knows_host(head) {
            return Err(Closed::Host);
        }
        if comes_from_another_site(head) {
            return Err(Closed::OtherSite);
        }
        match &self.token {
            Some(token) if !shows(head, token) => Err(Closed::Token),
            _ => Ok(()),
        }
    }

    // RFC 9112 §3.2: one Host field, or the request is refused.
    fn knows_host(&self, head: &HeaderMap) -> bool {
        let mut fields = head.get_all(header::HOST).iter();
        let (Some(host), None) = (fields.next(), fields.next()) else {
            return false;
        };
        let Ok(host) = host.to_str() else {
            return false;
        };
        self.hosts
            .contains(&without_port(host).to_ascii_lowercase())
    }
}

fn bracketed(address: Ipv6Addr) -> String {
    format!("[{address}]")
}

// The port is free: a tunnel may end at another one.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

// Fetch Metadata: following a link from elsewhere is fine, fetching from elsewhere is not.
fn comes_from_another_site(head: &HeaderMap) -> bool {
    let is = |name: HeaderName, value: &str| head.get(name).is_some_and(|v| v == value);
    let site = HeaderName::from_static("sec-fetch-site");
    let mode = HeaderName::from_static("sec-fetch-mode");
    let foreign = is(site.clone(), "cross-site") || is(site, "same-site");
    foreign && !is(mode, "navigate")
}

// RFC 6750 (Bearer) for programs, RFC 7617 (Basic, any user name) for browsers.
fn shows(head: &HeaderMap, token: &Token) -> bool {
    let Some(value) = head
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
    else {
        return false;
    };
    let Some((scheme, rest)) = value.split_once(' ') else {
        return false;
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return token.is(rest.as_bytes());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let Ok(pair) = STANDARD.decode(rest) else {
        return false;
    };
    let colon = pair.iter().position(|b| *b == b':');
    colon
        .and_then(|at| pair.get(at + 1..))
        .is_some_and(|password| token.is(password))
}

/// Said with every answer.
pub(crate) fn dress(head: &mut HeaderMap) {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                          connect-src 'self'; img-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
    let said = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in said {
        head.insert(name, HeaderValue::from_static(value));
    }
    // The page speaks of people and addresses: it is not for any cache.
    head.entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let names = ["Status.example.net:8443".to_owned()];
        Gate::new(&names, "127.0.0.1".parse().unwrap(), None)
    }

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut head = HeaderMap::new();
        for (name, value) in fields {
            head.append(*name, value.parse().unwrap());
        }
        head
    }

    fn ask(gate: &Gate, fields: &[(&'static str, &str)]) -> Result<(), Closed> {
        gate.admit(&Method::GET, &head(fields))
    }

    #[test]
    fn only_known_names_are_answered() {
        for host in [
            "localhost",
            "localhost:9107",
            "127.0.0.1:80",
            "[::1]:9107",
            "[::1]",
            "status.EXAMPLE.net:443",
        ] {
            assert_eq!(ask(&gate(), &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9107",
            "evil.example:127.0.0.1",
            "[::1",
            "localhost:9107:9107",
            "localhost:",
        ] {
            let expected = if host == "localhost:" {
                Ok(()) // RFC 3986 §3.2.3: an empty port is no port.
            } else {
                Err(Closed::Host)
            };
            assert_eq!(ask(&gate(), &[("host", host)]), expected, "{host}");
        }
        assert_eq!(ask(&gate(), &[]), Err(Closed::Host));
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(ask(&gate(), &two), Err(Closed::Host));
    }

    #[test]
    fn looking_is_all_that_can_be_done() {
        let head = head(&[("host", "localhost")]);
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(gate().admit(&method, &head), Err(Closed::Method));
        }
        assert_eq!(gate().admit(&Method::HEAD, &head), Ok(()));
    }

    #[test]
    fn pages_of_other_sites_may_link_but_not_fetch() {
        let host = ("host", "localhost:9107");
        let fetch = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "cors"),
        ];
        assert_eq!(ask(&gate(), &fetch), Err(Closed::OtherSite));
        let link = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert_eq!(ask(&gate(), &link), Ok(()));
        let own = [host, ("sec-fetch-site", "same-origin")];
        assert_eq!(ask(&gate(), &own), Ok(()));
    }

    #[test]
    fn a_token_is_shown_as_bearer_or_as_a_password() {
        let token = Token::new("correct horse battery");
        let gate = Gate::new(&[], "127.0.0.1".parse().unwrap(), Some(token));
        let with = |value: &str| ask(&gate, &[("host", "localhost"), ("authorization", value)]);
        let basic = |pair: &str| with(&format!("Basic {}", STANDARD.encode(pair)));
        assert_eq!(ask(&gate, &[("host", "localhost")]), Err(Closed::Token));
        assert_eq!(with("Bearer correct horse battery"), Ok(()));
        assert_eq!(basic("anyone:correct horse battery"), Ok(()));
        assert_eq!(basic("correct horse battery:"), Err(Closed::Token));
        for wrong in ["Bearer x", "Bearer", "", "Basic ???", "Basic bm9jb2xvbg=="] {
            assert_eq!(with(wrong), Err(Closed::Token), "{wrong}");
        }
    }
}
