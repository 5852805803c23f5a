//! What third parties send a hub: pushes of alerts, OpenC2 commands, warninglists.

use intel::{
    GoDuration,
    lapi::{self, AlertError, AlertQuestion, DecisionQuestion, StreamQuestion},
    openc2::{self, Order, Requested, Response, Status},
    pairs, warninglist,
};

use crate::{NOW, knob};

/// An alert is cut to this in the target, so that cutting is seen.
const ALERT_BYTES: usize = 600;

/// The first byte: an alert push, metrics, a query string, or a duration.
pub fn lapi_alert(data: &[u8]) {
    let (kind, data) = knob(data);
    match (kind % 4, std::str::from_utf8(data)) {
        (0, _) => match lapi::read_alerts(data) {
            Ok(alerts) => alerts.into_iter().for_each(alert),
            Err(AlertError::Missing(fields)) => assert!(!fields.is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        (1, _) => {
            let _ = lapi::read_metrics(data);
        }
        (2, Ok(query)) => {
            let pairs = pairs(query);
            let stream = StreamQuestion::read(&pairs);
            let _ = stream
                .admits
                .admits("Ip", "crowdsec", "crowdsecurity/ssh-bf");
            let _ = AlertQuestion::read(&pairs);
            // What is strict takes nothing that the other would not.
            if let Ok(strict) = DecisionQuestion::read_strictly(&pairs) {
                assert_eq!(DecisionQuestion::read(&pairs), Ok(strict));
            }
        }
        (3, Ok(text)) => {
            if let Ok(duration) = text.parse::<GoDuration>() {
                let written = duration.to_string();
                assert_eq!(written.parse::<GoDuration>(), Ok(duration), "{written}");
            }
        }
        _ => {}
    }
}

/// What is kept of an alert is an alert again, and no larger than asked for.
fn alert(mut alert: lapi::Alert) {
    alert.fit(ALERT_BYTES);
    let kept = serde_json::to_vec(&alert).expect("texts and numbers");
    let events = alert.events.as_ref().map_or(0, Vec::len);
    assert!(kept.len() <= ALERT_BYTES || events == 0);
    let again: lapi::Alert = serde_json::from_slice(&kept).expect("what was written");
    assert!(again.decisions.is_none());
    assert_eq!(again.scenario, alert.scenario);
}

/// Whatever comes, there is an answer that is JSON, and only what is supported is carried out.
pub fn openc2(data: &[u8]) {
    let (envelope, response) = match openc2::read(data, NOW.millis()) {
        Ok(request) => {
            match &request.order {
                Order::Deny { window, .. } | Order::Allow { window, .. } => {
                    assert_ne!(window.seconds, Some(0));
                }
                Order::Delete { rule } => assert!(*rule <= openc2::rule_number_max()),
                Order::Features(features) => {
                    assert!(features.len() <= 4 && request.requested == Requested::Complete);
                }
            }
            (
                request.envelope,
                Response::ok().with_rule(request.profile, 1),
            )
        }
        Err(refusal) => {
            assert!(matches!(
                refusal.status,
                Status::BadRequest | Status::NotFound | Status::NotImplemented
            ));
            (refusal.envelope.clone(), Response::from(&refusal))
        }
    };
    let body = response.body(&envelope, None, NOW.millis());
    let value: serde_json::Value = serde_json::from_slice(&body).expect("an answer is JSON");
    let status = value
        .pointer("/body/openc2/response/status")
        .or_else(|| value.get("status"));
    assert_eq!(
        status.and_then(serde_json::Value::as_u64),
        Some(response.status.code().into())
    );
}

/// Prefixes come sorted and once, entries are short, and nothing is counted twice.
pub fn warninglist(data: &[u8]) {
    let Ok(list) = warninglist::read(data) else {
        return;
    };
    assert!(list.prefixes.is_sorted_by(|a, b| a < b));
    let kept = list.prefixes.len() + list.texts.len();
    assert!(kept <= warninglist::ENTRIES_MAX);
    assert!(
        list.texts
            .iter()
            .all(|t| t.len() <= warninglist::ENTRY_BYTES_MAX)
    );
    assert!(kept + list.left_out <= data.len());
}
