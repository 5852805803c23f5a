//! OpenC2 over real sockets: what the profile's text says of each answer.

use serde_json::Value;

use super::*;
use crate::{Hub, KeyKind, NewKey, door};

struct Site {
    core: Core,
    url: String,
}

impl Site {
    fn new() -> Self {
        let hub = Hub::in_memory("hub".parse().unwrap()).unwrap();
        let core = hub.core();
        let router = router(core.clone());
        let url = door::open(router);
        let key = NewKey {
            name: "soar".into(),
            kind: KeyKind::Machine,
            organisation: None,
            community: None,
            secret: Some("secret".into()),
            accepted: true,
            from: None,
        };
        let runtime = door::runtime();
        runtime
            .block_on(core.add_key(&core.operator("test"), key))
            .unwrap();
        let url = format!("{url}/.well-known/openc2");
        Self { core, url }
    }

    fn post(&self, body: &Value, password: &str) -> (u16, String, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let basic = format!("Basic {}", STANDARD.encode(format!("soar:{password}")));
        let mut response = agent
            .post(&self.url)
            .header("authorization", basic)
            .header("content-type", CONTENT_TYPE)
            .header("x-request-id", "http-1")
            .send(body.to_string())
            .unwrap();
        let kind = response.headers().get("content-type").cloned();
        let kind = kind.map_or_else(String::new, |v| v.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        (status, kind, response.body_mut().read_to_string().unwrap())
    }

    /// A command in a message; its response.
    fn ask(&self, command: Value) -> Value {
        let message = json!({
            "headers": {"request_id": "r-1", "created": 1_795_000_000_000_u64, "from": "soar"},
            "body": {"openc2": {"request": command}}
        });
        let (status, kind, body) = self.post(&message, "secret");
        assert_eq!(kind, CONTENT_TYPE);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["headers"]["request_id"], "r-1");
        let response = body["body"]["openc2"]["response"].clone();
        // The transport says what the message says.
        assert_eq!(
            response["status"].as_u64().unwrap().max(200),
            u64::from(status)
        );
        response
    }

    fn banned(&self, address: &str) -> bool {
        let by = self.core.operator("test");
        !self
            .core
            .bans_covering(&by, address.parse().unwrap())
            .is_empty()
    }
}

#[test]
fn deny_and_delete() {
    let site = Site::new();
    let response = site.ask(json!({
        "action": "deny", "target": {"ipv4_net": "198.51.100.0/24"},
        "args": {"duration": 60_000, "response_requested": "complete",
                 "slpf": {"drop_process": "none", "direction": "ingress"}},
        "actuator": {"slpf": {"named_group": "main"}}, "command_id": "ban-1"
    }));
    // SLPF 1.0 section 2.3.2: the number must come where the complete answer was asked for.
    assert_eq!(response["status"], 200);
    let rule = response["results"]["slpf"]["rule_number"].as_u64().unwrap();
    assert!(site.banned("198.51.100.9"));
    let by = site.core.operator("test");
    let ban = site.core.ban(&by, rule).unwrap();
    assert!((58_000..=60_000).contains(&ban.remaining_ms(site.core.now())));
    let delete = || site.ask(json!({"action": "delete", "target": {"slpf:rule_number": rule}}));
    assert_eq!(delete()["status"], 200);
    assert!(!site.banned("198.51.100.9"));
    // Section 2.3.4.1: parsed, but nothing to remove.
    let again = delete();
    assert_eq!(again["status"], 500);
    let text = again["status_text"].as_str().unwrap();
    assert!(
        text.starts_with("firewall rule not removed or updated"),
        "{text}"
    );
}

#[test]
fn allow_lifts_and_keeps_away() {
    let site = Site::new();
    let deny = |net: &str| site.ask(json!({"action": "deny", "target": {"ipv6_net": net}}));
    assert_eq!(deny("2001:db8::/64")["status"], 200);
    let allowed = site.ask(json!({
        "action": "allow", "target": {"ipv6_net": "2001:db8::/48"},
        "args": {"pf": {"direction": "ingress"}}
    }));
    let rule = allowed["results"]["pf"]["rule_number"].as_u64().unwrap();
    assert!(rule <= rule_number_max());
    assert!(!site.banned("2001:db8::1"));
    let refused = deny("2001:db8::1");
    assert_eq!(refused["status"], 500);
    assert!(
        refused["status_text"]
            .as_str()
            .unwrap()
            .starts_with("Rule not updated")
    );
    let delete = json!({"action": "delete", "target": {"pf:rule_number": rule}});
    assert_eq!(site.ask(delete.clone())["status"], 200);
    assert_eq!(site.ask(delete)["status"], 500);
    assert_eq!(deny("2001:db8::1")["status"], 200);
}

#[test]
fn what_is_asked_for_is_answered_and_no_more() {
    let site = Site::new();
    let deny = |how: &str| {
        json!({"action": "deny", "target": {"ipv4_net": "192.0.2.1"},
               "args": {"response_requested": how}})
    };
    assert_eq!(site.ask(deny("ack")), json!({"status": 102}));
    assert_eq!(site.ask(deny("status")), json!({"status": 200}));
    let (status, _, body) = site.post(&deny("none"), "secret");
    assert_eq!((status, body.as_str()), (204, ""));
    let features = site.ask(json!({"action": "query", "target": {"features": ["pairs"]}}));
    for (action, targets) in features["results"]["pairs"].as_object().unwrap() {
        for target in targets.as_array().unwrap() {
            // What is claimed is carried out: nothing of it is "not implemented".
            let specifiers = match target.as_str().unwrap() {
                "ipv4_net" => json!("203.0.113.1"),
                "ipv6_net" => json!("2001:db8:9::1"),
                "features" => json!([]),
                _ => json!(1),
            };
            let target = target.as_str().unwrap();
            let response = site.ask(json!({"action": action, "target": {target: specifiers}}));
            assert_ne!(response["status"], 501, "{action} {target}");
        }
    }
}

#[test]
fn refusals_have_the_profiles_codes() {
    let site = Site::new();
    for (command, status) in [
        (
            json!({"action": "deny", "target": {"domain_name": "example.org"}}),
            501,
        ),
        (
            json!({"action": "update", "target": {"file": {"name": "x"}}}),
            501,
        ),
        (
            json!({"action": "deny", "target": {"ipv4_net": "192.0.2.1"},
                   "args": {"slpf": {"insert_rule": 7}}}),
            501,
        ),
        (
            json!({"action": "deny", "target": {"ipv4_net": "192.0.2.1"},
                   "args": {"slpf": {"direction": "egress"}}}),
            501,
        ),
        (json!({"action": "deny", "target": {"ipv4_net": "no"}}), 400),
        (
            json!({"action": "dance", "target": {"ipv4_net": "192.0.2.1"}}),
            400,
        ),
        (
            json!({"action": "deny", "target": {"ipv4_net": "192.0.2.1"},
                   "actuator": {"slpf": {"named_group": "elsewhere"}}}),
            404,
        ),
    ] {
        let response = site.ask(command.clone());
        assert_eq!(response["status"], status, "{command}");
        assert!(response["status_text"].is_string());
        assert!(response.get("results").is_none());
    }
    assert!(!site.banned("192.0.2.1"));
    let features = json!({"action": "query", "target": {"features": []}});
    assert_eq!(site.post(&features, "wrong").0, 401);
    // A command without a message is answered without one.
    let (status, _, body) = site.post(&features, "secret");
    assert_eq!((status, body.as_str()), (200, r#"{"status":200}"#));
}
