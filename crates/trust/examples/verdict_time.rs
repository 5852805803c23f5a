//! How long one verdict takes, with a full house: 121,000 networks of known classes, open cases,
//! standings and bans. `cargo run --release -p trust --example verdict_time`.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a measuring program"
)]

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use model::Prefix;
use trust::{Class, Classes, Court, Evidence, Kind, Org, Report, ReportId, Rules, peer_key};

const ENTRIES: u32 = 121_000;
const ORGS: u32 = 1_000;
const TARGETS: u32 = 200_000;
const REPORTS: u32 = 1_000_000;

fn address(n: u32) -> Prefix {
    // Odd times a number modulo 2^32 is a bijection: spread, and never twice the same.
    Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1))))
}

fn org(n: u32) -> Org {
    Org::new(&format!("organisation-{n}")).expect("a name")
}

fn main() {
    let lists = (0..ENTRIES).map(|n| {
        let class = [Class::Cloud, Class::Shared, Class::Mail, Class::Resolver][n as usize % 4];
        let len = 16 + (n % 17) as u8;
        (
            address(n | 1 << 31).widen(len).expect("narrower"),
            class,
            "list",
        )
    });
    let rules = Rules {
        growth_floor: 100_000,
        ..Rules::default()
    };
    let mut court = Court::new(rules, Classes::new(lists));
    for n in 0..ORGS {
        court.vouch(&org(n), 60.0, 0).expect("room");
        let peers = (0..300)
            .map(|peer| peer_key(address(n * 7 + peer)))
            .collect();
        court.set_peers(&org(n), peers, 0).expect("vouched for");
    }
    println!(
        "{} ranges after flattening {ENTRIES} networks",
        court.classes().len()
    );
    let mut nanos = Vec::with_capacity(REPORTS as usize);
    let mut dice = 1u64;
    let kinds: Vec<Kind> = (0..64).map(|n| Kind::new(&format!("kind-{n}"))).collect();
    for n in 0..REPORTS {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let from = (dice >> 48) as u32;
        let report = Report {
            id: ReportId::default(),
            org: org(from % ORGS),
            asn: Some(64_500 + from % 200),
            network: Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(
                0x0a00_0000 | ((from % ORGS) << 8),
            ))),
            target: address((dice >> 24) as u32 % TARGETS),
            kind: kinds[(from % 64) as usize].clone(),
            evidence: Evidence::Payload,
            lasts: 14_400,
        };
        let now = 30 * 86_400_000 + u64::from(n) * 100;
        let before = Instant::now();
        let verdict = court.report(&report, now);
        nanos.push(before.elapsed().as_nanos());
        std::hint::black_box(verdict);
    }
    // The first half fills the house.
    let mut nanos = nanos.split_off(nanos.len() / 2);
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    println!("{:?}", court.stats());
    println!("{} cases, {} bans in force", court.cases(), court.bans());
    println!(
        "a verdict: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, most {:.0} us",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
