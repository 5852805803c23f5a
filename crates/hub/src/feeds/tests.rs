//! Feeds over real sockets; each format is read by its consumer's rules.

use std::{collections::BTreeSet, net::IpAddr, thread};

use model::Prefix;

use super::*;
use crate::{Hub, KeyKind, NewBan, NewKey, Report, door};

struct Site {
    core: Core,
    url: String,
    key: String,
    runtime: tokio::runtime::Runtime,
}

struct Answer {
    status: u16,
    body: String,
    headers: HeaderMap,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Site {
    fn new(bans: &[&str]) -> Self {
        let hub = Hub::in_memory("hub".parse().unwrap()).unwrap();
        let core = hub.core();
        let router = router(core.clone());
        let url = door::open(router);
        let runtime = door::runtime();
        let key = NewKey {
            name: "edge".into(),
            kind: KeyKind::Bouncer,
            organisation: None,
            community: None,
            secret: None,
            accepted: true,
            from: None,
        };
        let key = runtime
            .block_on(core.add_key(&core.operator("test"), key))
            .unwrap();
        let site = Self {
            url,
            core,
            key,
            runtime,
        };
        site.ban(bans.iter().map(|b| b.parse().unwrap()));
        site
    }

    fn ban(&self, prefixes: impl Iterator<Item = Prefix>) {
        let bans: Vec<_> = prefixes
            .map(|prefix| NewBan {
                prefix,
                seconds: 3_600,
                kind: "ban".into(),
                origin: "crowdsec".into(),
                scenario: "test".into(),
            })
            .collect();
        for part in bans.chunks(10_000) {
            let report = Report {
                bans: part.to_vec(),
                ..Report::default()
            };
            let by = self.core.operator("test");
            self.runtime
                .block_on(self.core.report(&by, vec![report]))
                .unwrap();
        }
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut request = ureq::http::Request::builder().uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(()).unwrap()).unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response
                .body_mut()
                .with_config()
                .limit(1 << 30)
                .read_to_string()
                .unwrap(),
        }
    }

    fn feed(&self, path: &str) -> String {
        let answer = self.get(path, &[("x-api-key", &self.key)]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.header("content-encoding").is_empty());
        answer.body
    }
}

const BANS: [&str; 7] = [
    "192.0.2.4",
    "192.0.2.5",
    "198.51.100.0/24",
    "198.51.100.9",
    "203.0.113.77",
    "2001:db8::1",
    "2001:db8:1::/48",
];

/// What those bans are as a set, however they are written.
fn expected() -> BTreeSet<Prefix> {
    [
        "192.0.2.4/31",
        "198.51.100.0/24",
        "203.0.113.77",
        "2001:db8::1",
        "2001:db8:1::/48",
    ]
    .iter()
    .map(|t| t.parse().unwrap())
    .collect()
}

//------------ Readers with their consumers' rules ---------------------------

/// An address or CIDR a line; no blanks, no comments, nothing else.
fn strict_list(text: &str) -> BTreeSet<Prefix> {
    let mut seen = BTreeSet::new();
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        assert!(
            !line.contains(char::is_whitespace) && line.is_ascii(),
            "{line:?}"
        );
        let prefix: Prefix = line.parse().unwrap();
        // Host bits set, or a /32 where an address is meant, are refused by some.
        assert_eq!(prefix.to_string(), line);
        assert!(seen.insert(prefix), "{line} twice");
    }
    seen
}

/// pf's tables: comments from `#` to the end of the line, blanks, an address or CIDR.
fn pf_table(text: &str) -> BTreeSet<Prefix> {
    text.lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().unwrap())
        .collect()
}

/// SRX: every line is CIDR.
fn srx(text: &str) -> BTreeSet<Prefix> {
    text.lines()
        .map(|line| {
            let (addr, len) = line.split_once('/').expect("a length");
            Prefix::new(addr.parse().unwrap(), len.parse().unwrap()).unwrap()
        })
        .collect()
}

/// F5: address, mask as a number, `bl` or `wl`, a category.
fn f5(text: &str) -> BTreeSet<Prefix> {
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [addr, mask, list, category] = fields[..] else {
                panic!("{line}: four fields")
            };
            assert_eq!(list, "bl");
            assert!(!category.is_empty());
            Prefix::new(addr.parse().unwrap(), mask.parse().unwrap()).unwrap()
        })
        .collect()
}

/// Check Point: seven fields, a name used once, IP or IP Range, known levels.
fn check_point(text: &str) -> BTreeSet<Prefix> {
    let mut names = BTreeSet::new();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [name, value, kind, confidence, severity, product, _] = fields[..] else {
                panic!("{line}: seven fields")
            };
            assert!(names.insert(name.to_owned()), "{name} twice");
            assert!(["low", "medium", "high", "critical"].contains(&confidence));
            assert!(["low", "medium", "high", "critical"].contains(&severity));
            assert!(["AV", "AB"].contains(&product));
            match kind {
                "IP" => Prefix::host(value.parse::<IpAddr>().unwrap()),
                "IP Range" => {
                    let (first, last) = value.split_once('-').unwrap();
                    let (first, last): (IpAddr, IpAddr) =
                        (first.parse().unwrap(), last.parse().unwrap());
                    let lens = if first.is_ipv4() { 0..=32u8 } else { 0..=128 };
                    let fits = |len: &u8| {
                        let p = Prefix::new(first, *len).unwrap();
                        p.addr() == first && p.last() == last
                    };
                    Prefix::new(first, lens.into_iter().find(fits).unwrap()).unwrap()
                }
                other => panic!("unknown type {other}"),
            }
        })
        .collect()
}

/// RouterOS: comments, a removal, and `:do { … add … } on-error={}` with a valid time.
fn router_os(text: &str, list: &str) -> BTreeSet<Prefix> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if line.contains("/remove ") {
            assert!(found.is_empty(), "removed after adding");
            continue;
        }
        let command = line
            .strip_prefix(":do { ")
            .and_then(|l| l.strip_suffix(" } on-error={}"))
            .unwrap_or_else(|| panic!("{line}"));
        let mut words = command.split(' ');
        let path = words.next().unwrap();
        let mut prefix = None;
        for word in words {
            match word.split_once('=').unwrap() {
                ("list", name) => assert_eq!(name, format!("\"{list}\"")),
                ("address", text) => prefix = Some(text.parse::<Prefix>().unwrap()),
                ("timeout", time) => {
                    let (days, clock) = time.split_once('d').unwrap();
                    assert!(days.parse::<u32>().is_ok());
                    let parts: Vec<u32> = clock.split(':').map(|p| p.parse().unwrap()).collect();
                    assert!(parts.len() == 3 && parts[0] < 24 && parts[1] < 60 && parts[2] < 60);
                    assert!(time != "0d00:00:00");
                }
                (other, _) => panic!("{other}"),
            }
        }
        let prefix = prefix.unwrap();
        let family = if prefix.is_ipv4() { "/ip/" } else { "/ipv6/" };
        assert_eq!(path, format!("{family}firewall/address-list/add"));
        found.insert(prefix);
    }
    found
}

#[test]
fn each_format_is_what_its_consumer_reads() {
    let site = Site::new(&BANS);
    for format in [
        "fortinet",
        "paloalto",
        "cisco",
        "sophos",
        "fortigate",
        "edl",
    ] {
        assert_eq!(
            strict_list(&site.feed(&format!("/feeds/{format}"))),
            expected(),
            "{format}"
        );
    }
    for format in ["plain", "pfsense", "opnsense.txt"] {
        assert_eq!(
            pf_table(&site.feed(&format!("/feeds/{format}"))),
            expected(),
            "{format}"
        );
    }
    assert_eq!(srx(&site.feed("/feeds/juniper.txt")), expected());
    assert_eq!(f5(&site.feed("/feeds/f5?listname=scanners")), expected());
    assert_eq!(check_point(&site.feed("/feeds/checkpoint.csv")), expected());
    assert_eq!(
        router_os(&site.feed("/feeds/mikrotik?listname=cs"), "cs"),
        expected()
    );
    let csv = site.feed("/feeds/csv");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("network,family,until"));
    let rows: BTreeSet<Prefix> = lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            assert!(["ipv4", "ipv6"].contains(&fields[1]));
            fields[2].parse::<model::Timestamp>().unwrap();
            fields[0].parse().unwrap()
        })
        .collect();
    assert_eq!(rows, expected());
}

#[test]
fn parameters_choose_what_is_listed() {
    let site = Site::new(&BANS);
    let list = |query: &str| strict_list(&site.feed(&format!("/feeds/fortinet?{query}")));
    assert!(list("ipv4only=true").iter().all(|p| p.is_ipv4()));
    assert_eq!(list("ipv6only").len(), 2);
    assert_eq!(list("origin=lists").len(), 0);
    assert_eq!(list("aggregate=none").len(), 6);
    assert_eq!(list("page=2&page_size=2").len(), 2);
    let pages: BTreeSet<Prefix> = (1..=3)
        .flat_map(|page| list(&format!("page={page}&page_size=2")))
        .collect();
    assert_eq!(pages, expected());
    let cut = site.get("/feeds/plain?limit=2", &[("x-api-key", &site.key)]);
    assert_eq!(cut.header("posse-truncated"), "2 of 5");
    assert!(
        cut.body
            .starts_with("# posse: 2 of 5 networks (the rest was left out)\n")
    );
    let answer = site.get("/feeds/plain?listname=a%20b", &[("x-api-key", &site.key)]);
    assert_eq!(answer.status, 400);
    assert_eq!(
        site.get("/feeds/nosuch", &[("x-api-key", &site.key)])
            .status,
        404
    );
}

#[test]
fn collateral_is_paid_only_where_it_was_named() {
    let site = Site::new(&["192.0.2.0", "192.0.2.1", "192.0.2.2"]);
    assert_eq!(site.feed("/feeds/fortinet"), "192.0.2.0/31\n192.0.2.2\n");
    assert_eq!(site.feed("/feeds/fortinet?collateral=25"), "192.0.2.0/30\n");
}

#[test]
fn a_key_is_taken_from_where_a_device_can_put_it() {
    let site = Site::new(&["192.0.2.1"]);
    let refused = site.get("/feeds/plain", &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Basic "));
    let basic = |key: &str| format!("Basic {}", STANDARD.encode(format!("any:{key}")));
    assert_eq!(
        site.get("/feeds/plain", &[("authorization", &basic(&site.key))])
            .status,
        200
    );
    assert_eq!(
        site.get("/feeds/plain", &[("authorization", &basic("wrong"))])
            .status,
        401
    );
    let bearer = format!("Bearer {}", site.key);
    assert_eq!(
        site.get("/feeds/plain", &[("authorization", &bearer)])
            .status,
        200
    );
    assert_eq!(
        site.get(&format!("/feeds/plain?key={}", site.key), &[])
            .status,
        200
    );
}

#[test]
fn what_a_firewall_has_is_not_sent_again() {
    let site = Site::new(&["192.0.2.1"]);
    let key = ("x-api-key", site.key.as_str());
    let first = site.get("/feeds/fortinet", &[key]);
    let (tag, date) = (
        first.header("etag").to_owned(),
        first.header("last-modified").to_owned(),
    );
    assert!(
        tag.starts_with('"') && date.ends_with(" GMT"),
        "{tag} {date}"
    );
    assert_eq!(first.header("content-length"), first.body.len().to_string());
    let again = site.get("/feeds/fortinet", &[key, ("if-none-match", &tag)]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let listed = format!("\"x\", W/{tag}");
    assert_eq!(
        site.get("/feeds/fortinet", &[key, ("if-none-match", &listed)])
            .status,
        304
    );
    assert_eq!(
        site.get("/feeds/fortinet", &[key, ("if-modified-since", &date)])
            .status,
        304
    );
    let old = ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(site.get("/feeds/fortinet", &[key, old]).status, 200);
    // A tag outweighs a date.
    let both = [
        key,
        ("if-none-match", "\"other\""),
        ("if-modified-since", &date),
    ];
    assert_eq!(site.get("/feeds/fortinet", &both).status, 200);
    thread::sleep(Duration::from_millis(2_100));
    // The same bans again: the same content, whatever happened in between.
    site.ban(["192.0.2.1".parse().unwrap()].into_iter());
    assert_eq!(
        site.get("/feeds/fortinet", &[key, ("if-none-match", &tag)])
            .status,
        304
    );
    site.ban(["192.0.2.9".parse().unwrap()].into_iter());
    thread::sleep(Duration::from_millis(2_100));
    let changed = site.get("/feeds/fortinet", &[key, ("if-none-match", &tag)]);
    assert_eq!(
        (changed.status, changed.body.as_str()),
        (200, "192.0.2.1\n192.0.2.9\n")
    );
}

#[test]
fn whoever_asks_too_often_waits() {
    let site = Site::new(&[]);
    let ask = || site.get("/feeds/plain", &[("x-api-key", &site.key)]);
    let refused = (0..BURST + 20)
        .map(|_| ask())
        .find(|a| a.status == 429)
        .expect("a refusal");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[test]
fn large_lists_come_whole() {
    let site = Site::new(&[]);
    site.ban((0..60_000u32).map(|n| Prefix::host(IpAddr::V4((0x0b00_0000 + n * 2).into()))));
    let list = strict_list(&site.feed("/feeds/fortinet"));
    assert_eq!(list.len(), 60_000);
    let text = site.feed("/feeds/paloalto");
    assert_eq!(strict_list(&text).len(), 50_000);
    assert_eq!(
        strict_list(&site.feed("/feeds/paloalto?limit=150000")).len(),
        60_000
    );
}
