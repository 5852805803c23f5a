//! The Local API over real sockets, against a core in memory.

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use model::Prefix;
use serde_json::{Value, json};

use super::*;
use crate::{
    Allowlist, AllowlistItem, Caller, Hub, KeyKind, NewBan, NewKey, Release, Report, door,
};

const FIREWALL: &str = "crowdsec-firewall-bouncer/-";
const NGINX: &str = "crowdsec-nginx-bouncer/v1.0.8";

struct Site {
    core: Core,
    url: String,
    runtime: tokio::runtime::Runtime,
    key: String,
    operator: Caller,
}

struct Answer {
    status: u16,
    body: String,
    headers: ureq::http::HeaderMap,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let json = self.json();
        let list = json[name].as_array().unwrap().clone();
        list.iter()
            .map(|d| d["value"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

impl Site {
    fn new() -> Self {
        let hub = Hub::in_memory("hub".parse().unwrap()).unwrap();
        let core = hub.core();
        let config = Config {
            registration_token: Some("t".repeat(40)),
            ..Config::default()
        };
        let router = router_with(core.clone(), config);
        let url = door::open(router);
        let runtime = door::runtime();
        let operator = core.operator("test");
        let bouncer = runtime.block_on(core.add_key(&operator, key("fw", KeyKind::Bouncer, None)));
        let machine = key("agent", KeyKind::Machine, Some("secret"));
        runtime.block_on(core.add_key(&operator, machine)).unwrap();
        Self {
            core,
            url,
            runtime,
            key: bouncer.unwrap(),
            operator,
        }
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        call(&agent(), &self.url, method, path, headers, body)
    }

    fn token(&self) -> String {
        let body = br#"{"machine_id":"agent","password":"secret","scenarios":["a/b"]}"#;
        let answer = self.call("POST", "/v1/watchers/login", &[], body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let json = answer.json();
        assert_eq!(json["code"], 200);
        json["expire"]
            .as_str()
            .unwrap()
            .parse::<model::Timestamp>()
            .unwrap();
        format!("Bearer {}", json["token"].as_str().unwrap())
    }

    fn stream(&self, agent: &ureq::Agent, user_agent: &str, query: &str) -> Answer {
        let headers = [("x-api-key", self.key.as_str()), ("user-agent", user_agent)];
        let path = format!("/v1/decisions/stream?{query}");
        call(agent, &self.url, "GET", &path, &headers, b"")
    }

    fn ban(&self, prefix: &str, seconds: u64) {
        let report = Report {
            bans: vec![NewBan {
                prefix: prefix.parse().unwrap(),
                seconds,
                kind: "ban".into(),
                origin: "cscli".into(),
                scenario: "test".into(),
            }],
            ..Report::default()
        };
        let reported = self
            .runtime
            .block_on(self.core.report(&self.operator, vec![report]));
        reported.unwrap()[0].bans[0].as_ref().unwrap();
    }

    fn unban(&self, prefix: &str) {
        let release = Release {
            prefix: Some(prefix.parse().unwrap()),
            ..Release::default()
        };
        let released = self
            .runtime
            .block_on(self.core.release(&self.operator, release));
        assert_eq!(released.unwrap().ids.len(), 1);
    }
}

fn key(name: &str, kind: KeyKind, secret: Option<&str>) -> NewKey {
    NewKey {
        name: name.into(),
        kind,
        organisation: None,
        community: None,
        secret: secret.map(str::to_owned),
        accepted: true,
        from: None,
    }
}

fn call(
    agent: &ureq::Agent,
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{url}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent.run(request.body(body).unwrap()).unwrap();
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

/// What a 1.4.6 agent pushes.
fn alert(address: &str) -> Value {
    json!({
        "capacity": 5, "decisions": null, "events_count": 6, "labels": null, "leakspeed": "10s",
        "events": [{"meta": [{"key": "source_ip", "value": address}],
                    "timestamp": "2026-11-21T17:51:01Z"}],
        "message": "m", "remediation": true, "scenario": "crowdsecurity/ssh-bf",
        "scenario_hash": "h", "scenario_version": "0.3", "simulated": false,
        "source": {"scope": "Ip", "value": address, "ip": address},
        "start_at": "2026-11-21T17:51:01Z", "stop_at": "2026-11-21T17:51:03Z"
    })
}

#[test]
fn strangers_are_refused_in_upstreams_words() {
    let site = Site::new();
    for (method, path, status, message) in [
        ("GET", "/v1/decisions", 403, "access forbidden"),
        ("HEAD", "/v1/decisions", 403, ""),
        (
            "GET",
            "/v1/decisions/stream?startup=true",
            403,
            "access forbidden",
        ),
        ("GET", "/v1/alerts", 401, ""),
        ("DELETE", "/v1/decisions", 401, ""),
        ("GET", "/v1/heartbeat", 401, ""),
        ("GET", "/v1/nothing", 404, "Page or Method not found"),
        ("PUT", "/v1/alerts", 405, "Page or Method not found"),
        ("POST", "/v1/decisions/stream", 405, ""),
        ("POST", "/v1/usage-metrics", 401, ""),
    ] {
        let answer = site.call(method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}");
        if !message.is_empty() {
            assert_eq!(answer.json()["message"], message, "{method} {path}");
        }
        if status == 401 {
            assert_eq!(answer.json()["code"], 401, "{method} {path}");
        }
    }
    let login = |body: &[u8]| site.call("POST", "/v1/watchers/login", &[], body);
    let wrong = login(br#"{"machine_id":"agent","password":"no"}"#);
    assert_eq!(
        (wrong.status, wrong.json()["code"].as_u64()),
        (401, Some(401))
    );
    assert_eq!(login(br#"{"machine_id":"agent"}"#).status, 401);
    assert_eq!(login(b"{").status, 400);
    assert_eq!(login(&vec![b' '; body::STRANGERS_MAX + 1]).status, 413);
    assert_eq!(site.call("GET", "/health", &[], b"").status, 200);
}

#[test]
fn an_agents_alert_reaches_a_bouncer_and_cscli() {
    let site = Site::new();
    let token = site.token();
    let auth = [
        ("authorization", token.as_str()),
        ("user-agent", "crowdsec/v1.4.6-x"),
    ];
    assert_eq!(site.call("GET", "/v1/heartbeat", &auth, b"").status, 200);
    assert_eq!(site.call("GET", "/v1/alerts", &auth, b"").body, "null");
    let body = json!([alert("192.0.2.77"), alert("2001:db8::7")]).to_string();
    let pushed = site.call("POST", "/v1/alerts", &auth, body.as_bytes());
    assert_eq!((pushed.status, pushed.body.as_str()), (201, r#"["1","2"]"#));

    let all = site.stream(&agent(), NGINX, "startup=true");
    assert_eq!(all.list("new"), ["192.0.2.77", "2001:db8::7"]);
    let decision = &all.json()["new"][0];
    let duration = decision["duration"].as_str().unwrap();
    assert!(["4h0m0s", "3h59m59s"].contains(&duration), "{duration}");
    assert_eq!(decision["origin"], "crowdsec");
    assert_eq!(
        (decision["scope"].as_str(), decision["type"].as_str()),
        (Some("Ip"), Some("ban"))
    );
    assert_eq!(all.json()["deleted"], json!([]));

    let headers = [("x-api-key", site.key.as_str())];
    let live = |ip: &str| site.call("GET", &format!("/v1/decisions?ip={ip}"), &headers, b"");
    assert_eq!(live("192.0.2.77").json()[0]["value"], "192.0.2.77");
    assert_eq!(live("192.0.2.78").body, "null");
    assert_eq!(live("nonsense").status, 400);
    assert_eq!(
        site.call("GET", "/v1/decisions", &headers, b"")
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let shown = site
        .call(
            "GET",
            "/v1/alerts?has_active_decision=true&limit=0",
            &auth,
            b"",
        )
        .json();
    assert_eq!(shown[0]["decisions"][0]["value"], "2001:db8::7");
    assert_eq!(shown[1]["events"][0]["meta"][0]["value"], "192.0.2.77");
    assert_eq!(
        (shown[1]["id"].as_u64(), shown[1]["machine_id"].as_str()),
        (Some(1), Some("agent"))
    );
    assert_eq!(site.call("GET", "/v1/alerts/2", &auth, b"").json()["id"], 2);
    assert_eq!(site.call("GET", "/v1/alerts/9", &auth, b"").status, 404);
    assert_eq!(
        site.call("GET", "/v1/alerts?nosuch=1", &auth, b"").status,
        400
    );

    let delete = |path: &str| site.call("DELETE", path, &auth, b"");
    assert_eq!(
        delete("/v1/decisions?ip=192.0.2.77").body,
        r#"{"nbDeleted":"1"}"#
    );
    assert_eq!(
        delete("/v1/decisions?ip=192.0.2.77").body,
        r#"{"nbDeleted":"0"}"#
    );
    assert_eq!(delete("/v1/decisions?colour=red").status, 400);
    assert_eq!(delete("/v1/decisions/999").status, 404);
    assert_eq!(delete("/v1/decisions/x").status, 400);
    assert_eq!(delete("/v1/decisions").body, r#"{"nbDeleted":"1"}"#);
    assert_eq!(delete("/v1/alerts").body, r#"{"nbDeleted":"2"}"#);
}

#[test]
fn pushes_may_be_packed_and_bad_ones_are_named() {
    let site = Site::new();
    let token = site.token();
    let auth = ("authorization", token.as_str());
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer
        .write_all(json!([alert("192.0.2.1")]).to_string().as_bytes())
        .unwrap();
    let packed = packer.finish().unwrap();
    let headers = [
        auth,
        ("content-encoding", "gzip"),
        ("accept-encoding", "gzip"),
    ];
    let answer = site.call("POST", "/v1/alerts", &headers, &packed);
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(answer.headers.get("content-encoding").is_none());
    let push = |body: &str| site.call("POST", "/v1/alerts", &[auth], body.as_bytes());
    assert_eq!(push("test").status, 400);
    let missing = push("[{}]");
    assert_eq!(missing.status, 422);
    assert!(missing.body.contains("0.scenario_hash in body is required"));
    // As `cscli decisions add` does.
    let mut manual = alert("198.51.100.0/24");
    manual["decisions"] = json!([{"duration": "30m", "origin": "cscli", "scenario": "manual",
        "scope": "Range", "type": "ban", "value": "198.51.100.0/24"}]);
    assert_eq!(push(&json!([manual]).to_string()).status, 201);
    let found = site
        .core
        .bans_covering(&site.operator, "198.51.100.9".parse().unwrap());
    assert_eq!(&*found[0].origin, "cscli");
    manual["decisions"][0]["scope"] = json!("Country");
    assert_eq!(push(&json!([manual]).to_string()).status, 400);
}

#[test]
fn changes_come_once_and_unbans_are_negative() {
    let site = Site::new();
    let agent = agent();
    site.ban("192.0.2.1", 600);
    assert_eq!(
        site.stream(&agent, NGINX, "startup=true").list("new"),
        ["192.0.2.1"]
    );
    assert!(site.stream(&agent, NGINX, "").list("new").is_empty());
    site.ban("192.0.2.2", 600);
    site.unban("192.0.2.1");
    let answer = site.stream(&agent, NGINX, "additional_pull=false&community_pull=false");
    assert_eq!(answer.list("new"), ["192.0.2.2"]);
    assert_eq!(answer.list("deleted"), ["192.0.2.1"]);
    let duration = answer.json()["deleted"][0]["duration"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(duration.starts_with('-'), "{duration}");
    assert!(site.stream(&agent, NGINX, "").list("deleted").is_empty());
    // Asking whether the key is good moves nothing.
    site.ban("192.0.2.3", 600);
    let headers = [("x-api-key", site.key.as_str())];
    let head = call(
        &agent,
        &site.url,
        "HEAD",
        "/v1/decisions/stream",
        &headers,
        b"",
    );
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(site.stream(&agent, NGINX, "").list("new"), ["192.0.2.3"]);
    // A ban lengthened is not an unban.
    site.ban("192.0.2.3", 1_200);
    let answer = site.stream(&agent, NGINX, "");
    assert_eq!(
        (answer.list("new"), answer.list("deleted").len()),
        (vec!["192.0.2.3".into()], 0)
    );
    assert!(
        site.stream(&agent, NGINX, "origins=lists&startup=true")
            .list("new")
            .is_empty()
    );
}

#[test]
fn what_may_be_lost_is_sent_again() {
    let site = Site::new();
    site.stream(&agent(), NGINX, "startup=true");
    site.ban("192.0.2.1", 600);
    // Each a connection of its own: who knows whether the last one got its answer.
    for _ in 0..3 {
        assert_eq!(site.stream(&agent(), NGINX, "").list("new"), ["192.0.2.1"]);
    }
    let agent = agent();
    site.stream(&agent, NGINX, "");
    assert!(site.stream(&agent, NGINX, "").list("new").is_empty());
}

#[test]
fn a_bouncer_the_hub_does_not_know_gets_everything() {
    let site = Site::new();
    site.ban("192.0.2.1", 600);
    site.ban("192.0.2.2", 600);
    site.unban("192.0.2.2");
    let answer = site.stream(&agent(), NGINX, "");
    assert_eq!(answer.list("new"), ["192.0.2.1"]);
    assert_eq!(answer.list("deleted"), ["192.0.2.2"]);
}

#[test]
fn a_firewall_bouncer_is_held_and_told_at_once() {
    let site = Site::new();
    let agent = agent();
    site.stream(&agent, FIREWALL, "startup=true");
    for n in 1..4 {
        let address = format!("192.0.2.{n}");
        let waiting = thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let answer = site.stream(&agent, FIREWALL, "");
                (answer, Instant::now())
            });
            thread::sleep(Duration::from_millis(300));
            assert!(!waiting.is_finished(), "it was not held");
            let banned = Instant::now();
            site.ban(&address, 600);
            let (answer, at) = waiting.join().unwrap();
            assert_eq!(answer.list("new"), [address.as_str()]);
            at.duration_since(banned)
        });
        // The client's ticks are not known here, so some time is left for more to happen.
        assert!(waiting < Duration::from_millis(950), "{waiting:?}");
    }
    let asked = Instant::now();
    site.stream(&agent, NGINX, "");
    assert!(
        asked.elapsed() < Duration::from_millis(300),
        "a client with a timeout was held"
    );
}

#[test]
fn a_network_reaches_a_firewall_bouncer_as_all_its_addresses() {
    let site = Site::new();
    let agent = agent();
    site.ban("198.51.100.0/24", 600);
    site.ban("2001:db8::/64", 600);
    let all = site.stream(&agent, FIREWALL, "startup=true");
    assert_eq!(all.list("new").len(), 257);
    assert!(all.list("new").contains(&"198.51.100.255".to_owned()));
    assert_eq!(
        site.stream(&agent, NGINX, "startup=true").list("new").len(),
        2
    );

    // An address of its own inside, for longer: the network's end must leave it.
    site.ban("198.51.100.7", 6_000);
    let answer = site.stream(&agent, FIREWALL, "");
    assert_eq!(answer.list("new"), ["198.51.100.7"]);
    assert_eq!(
        answer.list("deleted"),
        ["198.51.100.7"],
        "it is there with the network's end"
    );
    site.unban("198.51.100.0/24");
    let answer = site.stream(&agent, FIREWALL, "");
    assert_eq!(answer.list("deleted").len(), 256);
    assert_eq!(answer.list("new"), ["198.51.100.7"]);
    let duration = answer.json()["new"][0]["duration"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(["1h40m0s", "1h39m59s"].contains(&&*duration), "{duration}");

    // And the other way round: an address lifted inside a network stays banned.
    site.ban("198.51.100.0/24", 600);
    site.stream(&agent, FIREWALL, "");
    site.unban("198.51.100.7");
    let answer = site.stream(&agent, FIREWALL, "");
    assert_eq!(answer.list("new"), ["198.51.100.7"]);
    // Too wide to be spread: told as it is.
    site.ban("203.0.0.0/16", 600);
    assert_eq!(
        site.stream(&agent, FIREWALL, "").list("new"),
        ["203.0.0.0/16"]
    );
}

#[test]
fn of_several_bans_on_one_value_the_longest_is_told() {
    let site = Site::new();
    let other = NewKey {
        organisation: Some("other".parse().unwrap()),
        ..key("other", KeyKind::Machine, Some("x"))
    };
    site.runtime
        .block_on(site.core.add_key(&site.operator, other))
        .unwrap();
    let both = NewKey {
        organisation: Some("other".parse().unwrap()),
        ..key("both", KeyKind::Bouncer, None)
    };
    let both = site
        .runtime
        .block_on(site.core.add_key(&site.operator, both))
        .unwrap();
    let other = site.core.caller_by_name(KeyKind::Machine, "other").unwrap();
    site.ban("192.0.2.1", 600);
    let report = Report {
        bans: vec![NewBan {
            prefix: "192.0.2.1".parse().unwrap(),
            seconds: 60,
            kind: "ban".into(),
            origin: "crowdsec".into(),
            scenario: "short".into(),
        }],
        ..Report::default()
    };
    site.runtime
        .block_on(site.core.report(&other, vec![report]))
        .unwrap();
    let headers = [("x-api-key", both.as_str())];
    let ask = |query: &str| {
        let path = format!("/v1/decisions/stream?startup=true&{query}");
        site.call("GET", &path, &headers, b"")
    };
    assert_eq!(ask("").json()["new"].as_array().unwrap().len(), 1);
    assert_eq!(ask("").json()["new"][0]["scenario"], "test");
    assert_eq!(ask("dedup=false").list("new").len(), 2);
    // Another organisation's bans are not for everybody.
    assert_eq!(
        site.stream(&agent(), NGINX, "startup=true&dedup=false")
            .list("new")
            .len(),
        1
    );
}

#[test]
fn many_bans_come_in_pages_and_complete() {
    let site = Site::new();
    let bans = |from: u32| Report {
        bans: (from..from + 10_000)
            .map(|n| NewBan {
                prefix: Prefix::host(std::net::IpAddr::V4((0x0b00_0000 + n * 3).into())),
                seconds: 3_600,
                kind: "ban".into(),
                origin: "lists".into(),
                scenario: "many".into(),
            })
            .collect(),
        ..Report::default()
    };
    let reports: Vec<_> = (0..3).map(|n| bans(n * 10_000)).collect();
    site.runtime
        .block_on(site.core.report(&site.operator, reports))
        .unwrap();
    let answer = site.stream(&agent(), FIREWALL, "startup=true");
    let mut values = answer.list("new");
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 30_000);
    assert!(site.stream(&agent(), NGINX, "").list("new").is_empty());
}

#[test]
fn machines_register_and_wait_or_are_invited() {
    let site = Site::new();
    let register =
        |body: Value| site.call("POST", "/v1/watchers", &[], body.to_string().as_bytes());
    let login = |name: &str| {
        let body = json!({"machine_id": name, "password": "p"}).to_string();
        site.call("POST", "/v1/watchers/login", &[], body.as_bytes())
    };
    assert_eq!(
        register(json!({"machine_id": "new", "password": "p"})).status,
        201
    );
    assert_eq!(
        register(json!({"machine_id": "new", "password": "p"})).status,
        403
    );
    assert_eq!(login("new").status, 401);
    site.runtime
        .block_on(site.core.accept_key(&site.operator, "new"))
        .unwrap();
    let token = login("new").json()["token"].as_str().unwrap().to_owned();
    let invited = json!({"machine_id": "two", "password": "p",
        "registration_token": "t".repeat(40)});
    assert_eq!(register(invited).status, 202);
    assert_eq!(login("two").status, 200);
    assert_eq!(register(json!({"machine_id": "x"})).status, 422);
    let token = format!("Bearer {token}");
    let auth = [("authorization", token.as_str())];
    assert_eq!(
        site.call("GET", "/v1/refresh_token", &auth, b"").status,
        200
    );
    assert_eq!(
        site.call("DELETE", "/v1/watchers/self", &auth, b"").status,
        204
    );
    assert_eq!(site.call("GET", "/v1/heartbeat", &auth, b"").status, 401);
    for n in 0..5 {
        register(json!({"machine_id": format!("flood-{n}"), "password": "p"}));
    }
    assert_eq!(
        register(json!({"machine_id": "flood", "password": "p"})).status,
        429
    );
}

#[test]
fn usage_metrics_are_taken_from_both_kinds() {
    let site = Site::new();
    let body =
        br#"{"remediation_components":[{"type":"crowdsec-firewall-bouncer","version":"v0.0.34",
        "os":{"name":"debian","family":"linux","version":"12"},"utc_startup_timestamp":1,
        "feature_flags":[],"metrics":[]}]}"#;
    let key = [("x-api-key", site.key.as_str())];
    let answer = site.call("POST", "/v1/usage-metrics", &key, body);
    assert_eq!((answer.status, answer.body.as_str()), (201, ""));
    let token = site.token();
    let auth = [("authorization", token.as_str())];
    assert_eq!(
        site.call(
            "POST",
            "/v1/usage-metrics",
            &auth,
            b"{\"log_processors\":[]}"
        )
        .status,
        201
    );
    assert_eq!(
        site.call("POST", "/v1/usage-metrics", &key, b"x").status,
        400
    );
}

#[test]
fn allowlists_are_shown_and_asked() {
    let site = Site::new();
    let list = Allowlist {
        name: "offices".into(),
        organisation: "hub".parse().unwrap(),
        description: "ours".into(),
        created_unix_ms: 1_795_000_000_000,
        updated_unix_ms: 1_795_000_000_000,
        items: vec![AllowlistItem {
            prefix: "203.0.113.0/24".parse().unwrap(),
            description: "head office".into(),
            created_unix_ms: 1_795_000_000_000,
            until: None,
        }],
    };
    let set = site
        .core
        .set_allowlist(&site.operator, "offices", Some(list));
    site.runtime.block_on(set).unwrap();
    let token = site.token();
    let auth = [("authorization", token.as_str())];
    let get = |path: &str| site.call("GET", path, &auth, b"");
    assert_eq!(get("/v1/allowlists").json()[0]["items"], json!([]));
    let full = get("/v1/allowlists?with_content=true").json();
    assert_eq!(full[0]["items"][0]["value"], "203.0.113.0/24");
    assert_eq!(full[0]["created_at"], "2026-11-18T11:06:40Z");
    assert_eq!(get("/v1/allowlists/offices").json()["name"], "offices");
    assert_eq!(get("/v1/allowlists/none").status, 404);
    let check = get("/v1/allowlists/check/203.0.113.9").json();
    assert_eq!(check["allowlisted"], true);
    assert!(check["reason"].as_str().unwrap().contains("offices"));
    assert_eq!(
        get("/v1/allowlists/check/203.0.113.0/25").json()["allowlisted"],
        true
    );
    assert_eq!(
        get("/v1/allowlists/check/192.0.2.1").json(),
        json!({"allowlisted": false})
    );
    assert_eq!(get("/v1/allowlists/check/x").status, 400);
    let head = |value: &str| {
        site.call("HEAD", &format!("/v1/allowlists/check/{value}"), &auth, b"")
            .status
    };
    assert_eq!((head("203.0.113.9"), head("192.0.2.1")), (200, 204));
    let body = br#"{"targets":["203.0.113.9","192.0.2.1"]}"#;
    let bulk = site
        .call("POST", "/v1/allowlists/check", &auth, body)
        .json();
    assert_eq!(bulk["results"].as_array().unwrap().len(), 1);
    assert_eq!(bulk["results"][0]["target"], "203.0.113.9");
    // And an agent's alert about it is kept, without a ban.
    let pushed = json!([alert("203.0.113.9")]).to_string();
    assert_eq!(
        site.call("POST", "/v1/alerts", &auth, pushed.as_bytes())
            .status,
        201
    );
    assert!(site.core.bans(&site.operator, 0, 10).is_empty());
}

#[test]
fn people_come_in_by_password_and_a_code_that_counts_once() {
    let site = Site::new();
    site.ban("203.0.113.9", 3_600);
    let add = |name: &str, role| {
        let person = crate::NewPerson {
            name: name.to_owned(),
            organisation: "hub".parse().unwrap(),
            role,
            password: None,
        };
        let made = site
            .runtime
            .block_on(site.core.add_person(&site.operator, person));
        made.map(|made| made.password)
    };
    let password = add("ana", fleet::Role::Partner).unwrap();
    assert!(add("ana", fleet::Role::Partner).is_err());
    assert!(add("box", fleet::Role::Guard).is_err());
    assert!(add("eve", fleet::Role::Police).is_err());
    let code = |ahead: u64| {
        let people = site.core.shared().view().registry.people.clone();
        let secret = people["ana"].totp.unwrap();
        let step = crate::core::unix_ms() / 1_000 / crate::totp::STEP_SECONDS;
        crate::totp::of_step(&secret, step + ahead)
    };
    let login = |password: &str, code: &str| {
        let body = json!({"name": "ana", "password": password, "code": code}).to_string();
        site.call("POST", "/people/v1/login", &[], body.as_bytes())
    };
    let first = code(0);
    assert_eq!(login("guessed-it-wrong", &first).status, 401);
    assert_eq!(login(&password, "000000").status, 401);
    let answer = login(&password, &first);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(login(&password, &first).status, 401, "a code counts once");
    let token = format!("Bearer {}", answer.json()["token"].as_str().unwrap());
    let as_ana = [("authorization", token.as_str())];
    // The role decides: a partner reads, and neither alerts nor reports.
    let allowlists = site.call("GET", "/v1/allowlists", &as_ana, b"");
    assert_eq!(allowlists.status, 200, "{}", allowlists.body);
    assert_eq!(site.call("GET", "/v1/alerts", &as_ana, b"").status, 403);
    assert_eq!(
        site.call("GET", "/v1/refresh_token", &as_ana, b"").status,
        401
    );
    let gone = site.core.remove_person(&site.operator, "ana");
    site.runtime.block_on(gone).unwrap();
    assert_eq!(site.call("GET", "/v1/allowlists", &as_ana, b"").status, 401);
}
