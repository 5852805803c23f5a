//! Usage metrics that bouncers and agents send: `POST /v1/usage-metrics`.
//!
//! Only what an operator wants to see of a foreign program is taken out: what it is, how many
//! bans it holds, what it dropped. Unknown fields and metrics are passed over.

use serde::Deserialize;

/// Programs in one report, and metric values of each.
const COMPONENTS_MAX: usize = 100;
const VALUES_MAX: usize = 10_000;

/// A program as it describes itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveComponent {
    pub kind: String,
    pub version: String,
    /// Bans in force there.
    pub active: u64,
    pub dropped_packets: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Report {
    remediation_components: Option<Vec<Component>>,
    log_processors: Option<Vec<Component>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Component {
    #[serde(rename = "type")]
    kind: Option<String>,
    version: Option<String>,
    metrics: Option<Vec<Window>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Window {
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Value {
    name: Option<String>,
    unit: Option<String>,
    value: Option<f64>,
}

pub fn read_metrics(body: &[u8]) -> Result<Vec<ActiveComponent>, serde_json::Error> {
    let report: Option<Report> = serde_json::from_slice(body)?;
    let report = report.unwrap_or_default();
    let components = report
        .remediation_components
        .into_iter()
        .chain(report.log_processors)
        .flatten();
    Ok(components.take(COMPONENTS_MAX).map(shown).collect())
}

fn shown(component: Component) -> ActiveComponent {
    let mut shown = ActiveComponent {
        kind: component.kind.unwrap_or_default(),
        version: component.version.unwrap_or_default(),
        ..ActiveComponent::default()
    };
    let windows = component.metrics.into_iter().flatten();
    for item in windows.flat_map(|w| w.items).flatten().take(VALUES_MAX) {
        let value = item.value.unwrap_or_default().clamp(0.0, 1e18);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped; a count in a float"
        )]
        let value = value as u64;
        match (item.name.as_deref(), item.unit.as_deref()) {
            (Some("active_decisions"), _) => shown.active = shown.active.saturating_add(value),
            (Some("dropped"), Some("packet")) => {
                shown.dropped_packets = shown.dropped_packets.saturating_add(value);
            }
            _ => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bouncers_report_is_read() {
        let components = read_metrics(
            br#"{"remediation_components":[{"type":"crowdsec-firewall-bouncer","version":"v0.0.34",
                "os":{"name":"debian","family":"linux","version":"12"},"utc_startup_timestamp":1,
                "feature_flags":[],"metrics":[{"meta":{"window_size_seconds":900},"items":[
                {"name":"active_decisions","unit":"ip","value":3,"labels":{"origin":"crowdsec"}},
                {"name":"active_decisions","unit":"ip","value":2,"labels":{"origin":"cscli"}},
                {"name":"dropped","unit":"byte","value":400},
                {"name":"dropped","unit":"packet","value":7},{"name":"processed","value":1e300}]}]}],
                "log_processors":null}"#,
        )
        .unwrap();
        assert_eq!(
            components,
            [ActiveComponent {
                kind: "crowdsec-firewall-bouncer".into(),
                version: "v0.0.34".into(),
                active: 5,
                dropped_packets: 7,
            }]
        );
    }

    #[test]
    fn nonsense_is_refused_and_emptiness_is_not() {
        assert!(read_metrics(b"[]x").is_err());
        assert!(read_metrics(b"{}").unwrap().is_empty());
        assert!(read_metrics(b"null").unwrap().is_empty());
    }
}
