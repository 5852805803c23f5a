//! Commands as producers write them, and what is said to those that cannot be carried out.

use super::*;

const NOW: i64 = 1_795_000_000_000;

fn ask(text: &str) -> Result<Request, (u16, String)> {
    read(text.as_bytes(), NOW).map_err(|r| (r.status.code(), r.text))
}

fn code(text: &str) -> u16 {
    ask(text).map_or_else(|(code, _)| code, |_| 200)
}

fn deny(args: &str) -> String {
    format!(r#"{{"action":"deny","target":{{"ipv4_net":"198.51.100.3/32"}},"args":{args}}}"#)
}

#[test]
fn a_deny_in_a_message_is_read() {
    let request = ask(&format!(
        r#"{{"headers":{{"request_id":"r-1","created":{NOW},"from":"orchestrator"}},
           "body":{{"openc2":{{"request":{{"action":"deny",
           "target":{{"ipv4_net":"198.51.100.3/32"}},"args":{{"start_time":{NOW},
           "duration":14400000,"response_requested":"complete","pf":{{"drop_process":"none",
           "direction":"ingress","persistent":true,"logged":true}}}},
           "actuator":{{"pf":{{"named_group":"perimeter"}}}},"command_id":"ban-4711"}}}}}}}}"#
    ))
    .unwrap();
    assert_eq!(
        request.order,
        Order::Deny {
            network: "198.51.100.3".parse().unwrap(),
            window: Window {
                seconds: Some(14_400)
            },
        }
    );
    assert_eq!(request.profile, Profile::Pf);
    assert_eq!(request.command_id.as_deref(), Some("ban-4711"));
    let body = Response::ok()
        .with_rule(request.profile, 1234)
        .body(&request.envelope, None, NOW);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["headers"]["request_id"], "r-1");
    assert_eq!(body["headers"]["to"], "orchestrator");
    let response = &body["body"]["openc2"]["response"];
    assert_eq!(response["status"], 200);
    assert_eq!(response["results"]["pf"]["rule_number"], 1234);
}

#[test]
fn networks_come_as_text_or_as_pairs() {
    for (target, network) in [
        (r#"{"ipv4_net":"198.51.100.0/24"}"#, "198.51.100.0/24"),
        (r#"{"ipv4_net":["198.51.100.0",24]}"#, "198.51.100.0/24"),
        (r#"{"ipv4_net":["198.51.100.1"]}"#, "198.51.100.1"),
        (r#"{"ipv4_net":"198.51.100.1"}"#, "198.51.100.1"),
        (r#"{"ipv6_net":"2001:db8::/64"}"#, "2001:db8::/64"),
    ] {
        let request = ask(&format!(r#"{{"action":"allow","target":{target}}}"#)).unwrap();
        let network = network.parse().unwrap();
        let window = Window { seconds: None };
        assert_eq!(request.order, Order::Allow { network, window });
    }
    for target in [
        r#"{"ipv4_net":"2001:db8::1"}"#,
        r#"{"ipv6_net":"192.0.2.1"}"#,
        r#"{"ipv4_net":"example.org"}"#,
        r#"{"ipv4_net":["192.0.2.1",33]}"#,
        r#"{"ipv4_net":7}"#,
        r#"{"ipv4_net":"192.0.2.1","ipv6_net":"2001:db8::1"}"#,
        "{}",
    ] {
        assert_eq!(
            code(&format!(r#"{{"action":"deny","target":{target}}}"#)),
            400,
            "{target}"
        );
    }
}

#[test]
fn what_is_not_supported_is_501_and_never_200() {
    for text in [
        r#"{"action":"deny","target":{"ipv4_connection":{"src_addr":"192.0.2.1"}}}"#,
        r#"{"action":"deny","target":{"domain_name":"example.org"}}"#,
        r#"{"action":"allow","target":{"pf:advanced_connection":{}}}"#,
        r#"{"action":"update","target":{"file":{"name":"x"}}}"#,
        r#"{"action":"contain","target":{"ipv4_net":"192.0.2.1"}}"#,
        r#"{"action":"deny","target":{"x-vendor:thing":1}}"#,
        r#"{"action":"deny","target":{"ipv4_net":"192.0.2.1"},"actuator":{"edr":{}}}"#,
        &deny(r#"{"slpf":{"insert_rule":5}}"#),
        &deny(r#"{"slpf":{"direction":"egress"}}"#),
        &deny(r#"{"slpf":{"direction":"both"}}"#),
        &deny(r#"{"slpf":{"drop_process":"reject"}}"#),
        &deny(r#"{"slpf":{"persistent":false}}"#),
        &deny(r#"{"slpf":{"stateful":true}}"#),
        &deny(r#"{"custom":{"a":1}}"#),
        &deny(&format!(r#"{{"start_time":{}}}"#, NOW + 3_600_000)),
    ] {
        assert_eq!(code(text), 501, "{text}");
    }
}

#[test]
fn what_is_malformed_is_400() {
    for text in [
        "",
        "[]",
        "{}",
        "{",
        r#"{"action":"deny"}"#,
        r#"{"action":"frobnicate","target":{"ipv4_net":"192.0.2.1"}}"#,
        r#"{"action":7,"target":{"ipv4_net":"192.0.2.1"}}"#,
        r#"{"action":"deny","target":{"ipv4_net":"192.0.2.1"},"extra":1}"#,
        r#"{"action":"deny","target":{"ipv4_net":"192.0.2.1"},"command_id":"a b"}"#,
        r#"{"body":{"openc2":{"response":{}}}}"#,
        &deny("[]"),
        &deny(r#"{"response_requested":"maybe"}"#),
        &deny(r#"{"duration":-5}"#),
        &deny(r#"{"duration":"4h"}"#),
        &deny(r#"{"start_time":1,"stop_time":2,"duration":1}"#),
        &deny(&format!(r#"{{"stop_time":{}}}"#, NOW - 1)),
        &deny(r#"{"slpf":{"direction":"sideways"}}"#),
        r#"{"action":"delete","target":{"slpf:rule_number":"x"}}"#,
        r#"{"action":"delete","target":{"slpf:rule_number":1},"args":{"duration":5}}"#,
    ] {
        assert_eq!(code(text), 400, "{text}");
    }
    assert_eq!(
        code(
            r#"{"action":"deny","target":{"ipv4_net":"192.0.2.1"},"actuator":{"slpf":{"asset_id":"7"}}}"#
        ),
        404
    );
}

#[test]
fn two_of_three_times_give_the_third() {
    let seconds = |args: &str| match ask(&deny(args)).unwrap().order {
        Order::Deny { window, .. } => window.seconds,
        _ => unreachable!(),
    };
    assert_eq!(seconds("{}"), None);
    assert_eq!(seconds(r#"{"duration":90000}"#), Some(90));
    assert_eq!(
        seconds(&format!(r#"{{"stop_time":{}}}"#, NOW + 60_000)),
        Some(60)
    );
    let args = format!(r#"{{"start_time":{},"duration":100000}}"#, NOW - 40_000);
    assert_eq!(seconds(&args), Some(60));
    let args = format!(r#"{{"start_time":{NOW},"stop_time":{}}}"#, NOW + 30_000);
    assert_eq!(seconds(&args), Some(30));
    // A clock that runs some seconds early loses nothing and gains nothing.
    let args = format!(r#"{{"start_time":{},"duration":100000}}"#, NOW + 40_000);
    assert_eq!(seconds(&args), Some(100));
}

#[test]
fn features_are_told() {
    let ask_features = |list: &str| {
        ask(&format!(
            r#"{{"action":"query","target":{{"features":{list}}}}}"#
        ))
    };
    let Order::Features(all) = ask_features(r#"["versions","profiles","pairs","rate_limit"]"#)
        .unwrap()
        .order
    else {
        unreachable!()
    };
    let results = Request::features(&all).results;
    assert_eq!(results["versions"], json!(["1.0"]));
    assert_eq!(results["pairs"]["query"], json!(["features"]));
    assert!(Request::features(&[]).results.is_empty());
    assert_eq!(
        ask_features(r#"["versions","versions"]"#).unwrap_err().0,
        400
    );
    assert_eq!(ask_features(r#"["colour"]"#).unwrap_err().0, 400);
    assert_eq!(
        code(r#"{"action":"query","target":{"features":[]},"args":{"duration":1}}"#),
        400
    );
}

#[test]
fn a_missing_request_id_is_taken_from_the_transport() {
    let envelope = Envelope::Message {
        request_id: None,
        from: None,
    };
    let body = Response::ok().body(&envelope, Some("x-7"), NOW);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["headers"]["request_id"], "x-7");
}
