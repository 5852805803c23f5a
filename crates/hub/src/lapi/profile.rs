//! What an alert without a decision leads to: upstream's profiles, as far as they are in use.
//!
//! Agents send `decisions: null`, and the server decides. The default profile of CrowdSec bans
//! the source of every alert that asks for a remedy; so does this one.

use std::time::Duration;

use intel::GoDuration;
use intel::lapi::{Alert, Decision};
use model::{Prefix, Scope};

use crate::{NewBan, Report};

/// Words of origin and kind when a decision has none that counts.
const ORIGIN: &str = "crowdsec";
const BAN: &str = "ban";

/// The report an alert makes. `None`: it can make none, with the reason.
pub(super) fn report(mut alert: Alert, ban: Duration) -> Result<Report, String> {
    let bans = match alert.decisions.take() {
        Some(decisions) if !decisions.is_empty() => {
            decisions.iter().map(ready).collect::<Result<_, _>>()?
        }
        _ => by_profile(&alert, ban).into_iter().collect(),
    };
    alert.fit(crate::limits::ALERT_BYTES_MAX);
    let source = alert.source.as_ref();
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    Ok(Report {
        scenario: text(alert.scenario.as_ref()),
        scope: text(source.and_then(|s| s.scope.as_ref())),
        value: text(source.and_then(|s| s.value.as_ref())),
        alert: Some(serde_json::to_value(&alert).map_err(|e| e.to_string())?),
        bans,
    })
}

/// A decision that came ready, as cscli sends it.
fn ready(decision: &Decision) -> Result<NewBan, String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (scope, value) = (text(&decision.scope), text(&decision.value));
    let prefix = prefix(&scope, &value).ok_or_else(|| {
        format!("{scope} {value:?}: this server bans addresses and networks (scopes Ip and Range)")
    })?;
    let duration = text(&decision.duration);
    let duration: GoDuration = duration.parse().map_err(|e| format!("duration: {e}"))?;
    let seconds = u64::try_from(duration.seconds())
        .ok()
        .filter(|&s| s > 0)
        .ok_or_else(|| format!("duration {duration}: nothing is left of it"))?;
    Ok(NewBan {
        prefix,
        seconds,
        kind: text(&decision.kind),
        origin: text(&decision.origin),
        scenario: text(&decision.scenario),
    })
}

fn by_profile(alert: &Alert, ban: Duration) -> Option<NewBan> {
    if alert.remediation != Some(true) || alert.simulated == Some(true) {
        return None;
    }
    let source = alert.source.as_ref()?;
    Some(NewBan {
        prefix: prefix(source.scope.as_deref()?, source.value.as_deref()?)?,
        seconds: ban.as_secs(),
        kind: BAN.to_owned(),
        origin: ORIGIN.to_owned(),
        scenario: alert.scenario.clone().unwrap_or_default(),
    })
}

fn prefix(scope: &str, value: &str) -> Option<Prefix> {
    match Scope::from(scope.to_owned()) {
        Scope::Ip | Scope::Range => value.trim().parse().ok(),
        Scope::As | Scope::Country | Scope::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use intel::lapi::Source;

    use super::*;

    const FOUR_HOURS: Duration = Duration::from_secs(14_400);

    fn alert(scope: &str, value: &str) -> Alert {
        Alert {
            scenario: Some("crowdsecurity/ssh-bf".into()),
            remediation: Some(true),
            simulated: Some(false),
            source: Some(Source {
                scope: Some(scope.into()),
                value: Some(value.into()),
                ..Source::default()
            }),
            ..Alert::default()
        }
    }

    #[test]
    fn an_agents_alert_bans_its_source() {
        let report = report(alert("Ip", "192.0.2.77"), FOUR_HOURS).unwrap();
        assert_eq!(report.bans[0].prefix.to_string(), "192.0.2.77");
        assert_eq!(
            (report.bans[0].seconds, report.bans[0].kind.as_str()),
            (14_400, "ban")
        );
        assert!(report.alert.unwrap().get("decisions").is_none());
    }

    #[test]
    fn alerts_that_ask_for_no_remedy_ban_nobody() {
        let none = |alert| assert!(report(alert, FOUR_HOURS).unwrap().bans.is_empty());
        none(Alert {
            remediation: Some(false),
            ..alert("Ip", "192.0.2.77")
        });
        none(Alert {
            remediation: None,
            ..alert("Ip", "192.0.2.77")
        });
        none(Alert {
            simulated: Some(true),
            ..alert("Ip", "192.0.2.77")
        });
        none(alert("username", "root"));
        none(alert("Ip", "not an address"));
    }

    #[test]
    fn ready_decisions_stand_as_they_are() {
        let with = |scope: &str, value: &str, duration: &str| {
            let decision = Decision {
                duration: Some(duration.into()),
                origin: Some("cscli".into()),
                scenario: Some("manual".into()),
                scope: Some(scope.into()),
                kind: Some("captcha".into()),
                value: Some(value.into()),
                simulated: None,
            };
            let decisions = Some(vec![decision]);
            report(
                Alert {
                    decisions,
                    ..alert(scope, value)
                },
                FOUR_HOURS,
            )
        };
        let ban = with("range", "198.51.100.0/24", "90m")
            .unwrap()
            .bans
            .remove(0);
        assert_eq!(
            (ban.seconds, ban.kind.as_str(), ban.origin.as_str()),
            (5_400, "captcha", "cscli")
        );
        assert!(
            with("Ip", "192.0.2.1", "-4h")
                .unwrap_err()
                .contains("nothing is left")
        );
        assert!(with("Ip", "192.0.2.1", "soon").is_err());
        assert!(
            with("Country", "NL", "4h")
                .unwrap_err()
                .contains("Ip and Range")
        );
    }
}
