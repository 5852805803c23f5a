//! Numbers for a monitoring system, in the OpenMetrics text format, on a port of their own.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use model::WitnessesStatus;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::net::TcpListener;

use crate::{Core, HubStatus, Traffic};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Guards told apart; of more only the sums.
const GUARDS_MAX: usize = 20_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InCommunity {
    community: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGuard {
    organisation: String,
    guard: String,
    community: String,
}

type Guards = Family<OfGuard, Gauge>;

/// How the ledger stands with its witnesses, if any are asked.
pub type WitnessesNow = Arc<dyn Fn() -> Option<WitnessesStatus> + Send + Sync>;

/// Serves `/metrics`; the caller binds it to loopback.
pub async fn serve_metrics(
    listener: TcpListener,
    core: Core,
    traffic: Arc<Traffic>,
    witnesses: WitnessesNow,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(tell))
        .with_state((core, traffic, witnesses));
    axum::serve(listener, router).await
}

type Told = (Core, Arc<Traffic>, WitnessesNow);

async fn tell(State((core, traffic, witnesses)): State<Told>) -> impl IntoResponse {
    let mut registry = Registry::default();
    ledger(witnesses().as_ref(), &mut registry);
    read(
        &core,
        &traffic,
        registry.sub_registry_with_prefix("posse_hub"),
    );
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode(&mut text, &registry);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
}

/// By the names that a guard's metrics have.
fn ledger(witnesses: Option<&WitnessesStatus>, registry: &mut Registry) {
    let Some(witnesses) = witnesses else {
        return;
    };
    for (name, help, value) in [
        (
            "posse_ledger_witnesses",
            "Witnesses asked to cosign the ledger",
            witnesses.asked,
        ),
        (
            "posse_ledger_other_history",
            "Witnesses that saw another history of the ledger",
            witnesses.other_history,
        ),
        (
            "posse_ledger_witness_behind",
            "Entries that the witness furthest behind has not cosigned",
            witnesses.behind,
        ),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
}

fn read(core: &Core, traffic: &Traffic, registry: &mut Registry) {
    let status = core.status();
    let mut one = |name: &str, help: &str, value: usize| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    one("bans", "Bans in force, over all communities", status.bans);
    one("members", "Members that are not revoked", status.members);
    one(
        "members_connected",
        "Streams open",
        status.members_connected,
    );
    one("organisations", "Organisations", status.organisations);
    one("keys", "API keys and machines", status.keys);
    one(
        "handovers_waiting",
        "Files of cases offered and not received",
        status.handovers_waiting,
    );
    let oldest = count(status.handovers_oldest_seconds);
    one(
        "handovers_oldest_seconds",
        "How long the oldest of them has waited",
        oldest,
    );
    one(
        "connections",
        "Connections open",
        count(traffic.connections.load(Relaxed)),
    );
    one(
        "handshakes",
        "TLS handshakes since the start",
        count(traffic.handshakes.load(Relaxed)),
    );
    let failed = traffic.handshakes_failed.load(Relaxed);
    one(
        "handshakes_failed",
        "TLS handshakes that failed",
        count(failed),
    );
    let away = traffic.turned_away.load(Relaxed);
    one(
        "turned_away",
        "Connections turned away, too many from an address",
        count(away),
    );
    communities(&status, registry);
    guards(core, registry);
}

fn communities(status: &HubStatus, registry: &mut Registry) {
    let family = |registry: &mut Registry, name: &str, help: &str| {
        let family = Family::<InCommunity, Gauge>::default();
        registry.register(name, help, family.clone());
        family
    };
    let generation = family(registry, "generation", "Generation of the ban set");
    let entries = family(registry, "entries", "Live entries of the ban set");
    let sent = family(registry, "frames_sent", "Frames written to streams");
    let lost = family(
        registry,
        "streams_dropped",
        "Streams that fell too far behind",
    );
    let held = family(registry, "held", "Cases that wait for a person");
    for c in &status.communities {
        let label = InCommunity {
            community: c.community.to_string(),
        };
        let set = |family: &Family<InCommunity, Gauge>, n: u64| {
            family
                .get_or_create(&label)
                .set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        set(&generation, c.generation);
        set(&entries, c.bans as u64);
        set(&sent, c.frames_sent);
        set(&lost, c.streams_dropped);
        set(&held, c.held as u64);
    }
}

fn guards(core: &Core, registry: &mut Registry) {
    let mut family = |name: &str, help: &str| {
        let family = Guards::default();
        registry.register(name, help, family.clone());
        family
    };
    let generation = family("guard_generation", "Generation that the guard has applied");
    let lag = family(
        "guard_lag_ms",
        "From acceptance at the hub to the guard's kernel",
    );
    let enforced = family(
        "guard_bans_enforced",
        "Community bans in the guard's kernel",
    );
    let contact = family("guard_last_contact_seconds", "Since the guard was heard of");
    let sources = family("guard_sources", "Log sources that the guard watches");
    let drops = family("guard_drops", "What the guard had to drop");
    for member in core
        .members()
        .into_iter()
        .filter(|m| !m.revoked)
        .take(GUARDS_MAX)
    {
        let label = |community: &str| OfGuard {
            organisation: member.organisation.to_string(),
            guard: member.name.clone(),
            community: community.to_owned(),
        };
        let set = |family: &Guards, community: &str, n: u64| {
            family
                .get_or_create(&label(community))
                .set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        if let Some(seconds) = member.last_contact_seconds {
            set(&contact, "", seconds);
        }
        let Some(here) = &member.here else {
            continue;
        };
        set(&sources, "", here.sources);
        set(&drops, "", here.drops.iter().map(|(_, n)| n).sum());
        for told in &here.communities {
            let community = told.community.as_str();
            set(&generation, community, told.generation.0);
            set(&lag, community, told.lag_ms);
            set(&enforced, community, told.enforced);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn witnesses_go_by_the_names_of_a_guards_metrics() {
        let mut registry = Registry::default();
        let told = WitnessesStatus {
            asked: 2,
            other_history: 1,
            behind: 7,
        };
        ledger(Some(&told), &mut registry);
        let hub = registry.sub_registry_with_prefix("posse_hub");
        hub.register("bans", "Bans", Gauge::<i64>::default());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "posse_ledger_witnesses 2",
            "posse_ledger_other_history 1",
            "posse_ledger_witness_behind 7",
            "posse_hub_bans 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }
}
