//! A decision as bouncers and cscli read it.

use serde::Serialize;

use crate::GoDuration;

/// All of it is always there and never null: bouncers written in Go use these without a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    pub id: u64,
    pub origin: &'a str,
    pub scenario: &'a str,
    pub scope: &'a str,
    pub kind: &'a str,
    pub value: &'a str,
    /// Negative in the list of what ended.
    pub remaining_ms: i64,
}

/// Who reads a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Bouncer,
    /// Uses `simulated` without a check when it lists alerts.
    Cscli,
}

#[derive(Serialize)]
struct Wire<'a> {
    duration: String,
    id: u64,
    origin: &'a str,
    scenario: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
    #[serde(rename = "type")]
    kind: &'a str,
    value: &'a str,
}

/// Appends one decision's JSON.
pub fn write_decision(decision: &Shown<'_>, reader: Reader, out: &mut Vec<u8>) {
    let wire = Wire {
        duration: GoDuration::from_millis_rounded(decision.remaining_ms).to_string(),
        id: decision.id,
        origin: decision.origin,
        scenario: decision.scenario,
        scope: decision.scope,
        simulated: (reader == Reader::Cscli).then_some(false),
        kind: decision.kind,
        value: decision.value,
    };
    // Numbers and texts into memory: nothing of it can fail.
    let written = serde_json::to_writer(out, &wire);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_written_as_bouncers_read_it() {
        let mut out = Vec::new();
        let decision = Shown {
            id: 1,
            origin: "crowdsec",
            scenario: "crowdsecurity/ssh-bf",
            scope: "Ip",
            kind: "ban",
            value: "192.0.2.4",
            remaining_ms: 14_397_000,
        };
        write_decision(&decision, Reader::Bouncer, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"duration":"3h59m57s","id":1,"origin":"crowdsec","scenario":"crowdsecurity/ssh-bf","scope":"Ip","type":"ban","value":"192.0.2.4"}"#
        );
        let mut out = Vec::new();
        write_decision(&decision, Reader::Cscli, &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["simulated"], false);
    }

    #[test]
    fn what_ended_has_a_negative_duration() {
        let mut out = Vec::new();
        let decision = Shown {
            id: 2,
            origin: "cscli",
            scenario: "a \"reason\"\n",
            scope: "Range",
            kind: "ban",
            value: "198.51.100.0/24",
            remaining_ms: -63_000,
        };
        write_decision(&decision, Reader::Bouncer, &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["duration"], "-1m3s");
        assert_eq!(value["scenario"], "a \"reason\"\n");
    }
}
