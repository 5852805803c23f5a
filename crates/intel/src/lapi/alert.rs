//! Alerts as agents and cscli push them: `POST /v1/alerts`.
//!
//! What upstream's schema requires is required here, with a refusal that names every field that
//! is absent; everything else may be absent or null. Unknown fields are passed over and not kept.

use std::io;

use serde::{Deserialize, Serialize};

/// Alerts of one push. Agents send a second's worth; an import sends tens.
pub const ALERTS_MAX: usize = 10_000;
/// Missing fields that a refusal names.
const FAULTS_MAX: usize = 50;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alert {
    pub capacity: Option<i32>,
    /// `None` from agents: then the server decides. Never kept with the alert.
    #[serde(skip_serializing)]
    pub decisions: Option<Vec<Decision>>,
    pub events: Option<Vec<Event>>,
    pub events_count: Option<i32>,
    pub kind: Option<String>,
    pub labels: Option<Vec<String>>,
    pub leakspeed: Option<String>,
    pub message: Option<String>,
    pub meta: Option<Vec<Item>>,
    /// Whether the scenario asks for a remedy; upstream's default profiles look at it.
    pub remediation: Option<bool>,
    pub scenario: Option<String>,
    pub scenario_hash: Option<String>,
    pub scenario_version: Option<String>,
    pub simulated: Option<bool>,
    pub source: Option<Source>,
    pub start_at: Option<String>,
    pub stop_at: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    pub meta: Option<Vec<Item>>,
    pub timestamp: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    pub key: Option<String>,
    pub value: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    pub as_name: Option<String>,
    pub as_number: Option<String>,
    pub cn: Option<String>,
    pub ip: Option<String>,
    pub latitude: Option<f32>,
    pub longitude: Option<f32>,
    pub range: Option<String>,
    pub scope: Option<String>,
    pub value: Option<String>,
}

/// A decision that comes ready, as cscli sends it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Decision {
    pub duration: Option<String>,
    pub origin: Option<String>,
    pub scenario: Option<String>,
    pub scope: Option<String>,
    pub simulated: Option<bool>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub value: Option<String>,
}

/// Why a push of alerts was not taken. Nothing of it counts.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// Answered with 400.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Answered with 422.
    #[error("validation failure list:\n{}", .0.join("\n"))]
    Missing(Vec<String>),
    /// Answered with 422.
    #[error("{count} alerts in one push; at most {ALERTS_MAX} are taken")]
    TooMany { count: usize },
}

/// The body of a push: a list, all of it valid or none.
pub fn read_alerts(body: &[u8]) -> Result<Vec<Alert>, AlertError> {
    // Upstream's decoder takes `null` for an empty list.
    let alerts: Option<Vec<Alert>> = serde_json::from_slice(body)?;
    let alerts = alerts.unwrap_or_default();
    if alerts.len() > ALERTS_MAX {
        let count = alerts.len();
        return Err(AlertError::TooMany { count });
    }
    let mut missing = Vec::new();
    for (number, alert) in alerts.iter().enumerate() {
        if missing.len() < FAULTS_MAX {
            alert.missing(number, &mut missing);
        }
    }
    if missing.is_empty() {
        Ok(alerts)
    } else {
        Err(AlertError::Missing(missing))
    }
}

impl Alert {
    fn missing(&self, number: usize, into: &mut Vec<String>) {
        let mut need = |present: bool, name: &str| {
            if !present {
                into.push(format!("{number}.{name} in body is required"));
            }
        };
        need(self.capacity.is_some(), "capacity");
        for (at, decision) in self.decisions.iter().flatten().enumerate() {
            let name = |field| format!("decisions.{at}.{field}");
            need(decision.duration.is_some(), &name("duration"));
            need(decision.origin.is_some(), &name("origin"));
            need(decision.scenario.is_some(), &name("scenario"));
            need(decision.scope.is_some(), &name("scope"));
            need(decision.kind.is_some(), &name("type"));
            need(decision.value.is_some(), &name("value"));
        }
        need(self.events.is_some(), "events");
        need(self.events_count.is_some(), "events_count");
        need(self.leakspeed.is_some(), "leakspeed");
        need(self.message.is_some(), "message");
        need(self.scenario.is_some(), "scenario");
        need(self.scenario_hash.is_some(), "scenario_hash");
        need(self.scenario_version.is_some(), "scenario_version");
        need(self.simulated.is_some(), "simulated");
        match &self.source {
            None => need(false, "source"),
            Some(source) => {
                need(source.scope.is_some(), "source.scope");
                need(source.value.is_some(), "source.value");
            }
        }
        need(self.start_at.is_some(), "start_at");
        need(self.stop_at.is_some(), "stop_at");
    }

    /// Leaves out later events until the alert's JSON fits into `bytes`. Returns how many went.
    pub fn fit(&mut self, bytes: usize) -> usize {
        let mut total = size(self);
        let mut left_out = 0;
        let Some(events) = &mut self.events else {
            return 0;
        };
        while total > bytes {
            let Some(event) = events.pop() else { break };
            // And the comma before it.
            total = total.saturating_sub(size(&event) + 1);
            left_out += 1;
        }
        left_out
    }
}

/// How long a value is as JSON.
fn size(value: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Counting cannot fail; what cannot be written is as long as can be.
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a 1.4.6 agent writes it.
    const PUSH: &str = r#"[{"capacity":5,"decisions":null,"events":[{"meta":[{"key":"log_type",
        "value":"ssh_failed-auth"},{"key":"source_ip","value":"192.0.2.77"}],
        "timestamp":"2026-11-21T17:51:01Z"}],"events_count":6,"labels":null,"leakspeed":"10s",
        "message":"Ip 192.0.2.77 performed 'crowdsecurity/ssh-bf'","remediation":true,
        "scenario":"crowdsecurity/ssh-bf","scenario_hash":"ab","scenario_version":"0.3",
        "simulated":false,"source":{"scope":"Ip","value":"192.0.2.77","ip":"192.0.2.77",
        "range":"","as_number":"","as_name":"","cn":"","latitude":0,"longitude":0},
        "start_at":"2026-11-21T17:51:01Z","stop_at":"2026-11-21T17:51:03Z","kind":"crowdsec",
        "new_in_some_version":{"a":[1,2]}}]"#;

    #[test]
    fn an_agents_push_is_read() {
        let alerts = read_alerts(PUSH.as_bytes()).unwrap();
        let alert = &alerts[0];
        assert_eq!(alert.decisions, None);
        assert_eq!(alert.remediation, Some(true));
        let source = alert.source.as_ref().unwrap();
        assert_eq!(source.value.as_deref(), Some("192.0.2.77"));
        let kept = serde_json::to_value(alert).unwrap();
        assert!(kept.get("decisions").is_none());
        assert_eq!(kept["events"][0]["meta"][0]["key"], "log_type");
    }

    #[test]
    fn every_missing_field_is_named() {
        let error = read_alerts(
            br#"[{"capacity":1,"decisions":[{"value":"192.0.2.1"}],
            "source":{"scope":null}}]"#,
        )
        .unwrap_err()
        .to_string();
        for field in [
            "scenario",
            "source.scope",
            "decisions.0.duration",
            "simulated",
            "events",
        ] {
            assert!(
                error.contains(&format!("0.{field} in body is required")),
                "{field}: {error}"
            );
        }
        assert!(!error.contains("capacity"));
    }

    #[test]
    fn what_is_no_list_of_alerts_is_refused() {
        for bad in [
            &b"test"[..],
            b"{}",
            b"[1]",
            br#"[{"capacity":"x"}]"#,
            b"[{}",
        ] {
            assert!(matches!(read_alerts(bad), Err(AlertError::Json(_))));
        }
        assert!(read_alerts(b"null").unwrap().is_empty());
        let many = format!("[{}]", vec!["{}"; ALERTS_MAX + 1].join(","));
        assert!(matches!(
            read_alerts(many.as_bytes()),
            Err(AlertError::TooMany { .. })
        ));
    }

    #[test]
    fn an_alert_is_cut_to_fit() {
        let mut alert = read_alerts(PUSH.as_bytes()).unwrap().remove(0);
        let event = alert.events.as_ref().unwrap()[0].clone();
        alert.events = Some(vec![event; 1_000]);
        assert!(alert.fit(10_000) > 900);
        assert!(serde_json::to_vec(&alert).unwrap().len() <= 10_000);
        assert!(alert.events.as_ref().unwrap().len() > 10);
    }
}
