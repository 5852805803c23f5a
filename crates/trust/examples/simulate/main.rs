//! The trust simulation: 1,000 members, thirty measured days, poisoners, three rules.
//!
//! `bench/trust.sh` runs it; what is counted, and how, stands in `bench/trust.md`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measuring program: small numbers, and it prints"
)]

mod dice;
mod judges;
mod run;
mod world;

use judges::Rule;
use run::{Score, run};
use world::{Poisoner, Size, World};

const USAGE: &str = "usage: simulate [--seeds 1,2,3] [--held-out 201,202] [--turned]
  --seeds     the seeds that the numbers of the rule were chosen with
  --held-out  seeds that nobody looked at before
  --turned    instead: what the world is made of, turned one at a time, over --seeds";

const POISONERS: [(Poisoner, &str); 5] = [
    (Poisoner::None, "none"),
    (Poisoner::Slow, "slow"),
    (Poisoner::Sybil, "Sybil"),
    (Poisoner::Hijacked, "hijacked"),
    (Poisoner::Colluders, "colluders"),
];

const RULES: [(Rule, &str); 4] = [
    (Rule::AcceptAll, "accept all"),
    (Rule::KOfN, "3 of n"),
    (Rule::KOfNWithLists, "(3 of n, lists)"),
    (Rule::Ours, "ours"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        println!("{USAGE}");
        return;
    }
    let seeds = |option: &str, default: &str| -> Vec<u64> {
        let at = arguments.iter().position(|a| a == option);
        let text = at
            .and_then(|at| arguments.get(at + 1))
            .map_or(default, String::as_str);
        text.split(',')
            .filter_map(|seed| seed.parse().ok())
            .collect()
    };
    let chosen = seeds("--seeds", "1,2,3,4,5");
    if arguments.iter().any(|a| a == "--turned") {
        turned(&chosen);
        return;
    }
    for (name, seeds) in [
        ("seeds", chosen),
        ("held out", seeds("--held-out", "201,202,203,204,205")),
    ] {
        if !seeds.is_empty() {
            println!("{name} {seeds:?}: mean (least to most)");
            table(&seeds, &Size::whole(), &POISONERS);
        }
    }
}

/// What if the world were another one?
fn turned(seeds: &[u64]) {
    let whole = Size::whole();
    let worlds = [
        ("as it is", whole),
        (
            "half of the organisations name their daily peers",
            Size {
                peers: 0.5,
                ..whole
            },
        ),
        (
            "three times as many mistakes",
            Size {
                strays: 3.0 * whole.strays,
                ..whole
            },
        ),
        (
            "half as many shared attackers",
            Size {
                shared: whole.shared / 2,
                ..whole
            },
        ),
        (
            "twice as many shared attackers",
            Size {
                shared: whole.shared * 2,
                ..whole
            },
        ),
        (
            "people take three days to notice",
            Size {
                appeal_hours: 72.0,
                ..whole
            },
        ),
        (
            "a third of the attackers",
            Size {
                attackers_per_day: 100.0,
                ..whole
            },
        ),
        ("300 members of 120 organisations", Size::small()),
    ];
    let some = [POISONERS[0], POISONERS[3], POISONERS[4]];
    for (name, size) in worlds {
        println!("{name}, seeds {seeds:?}: mean (least to most)");
        table(seeds, &size, &some);
    }
}

fn table(seeds: &[u64], size: &Size, poisoners: &[(Poisoner, &str)]) {
    println!(
        "{:<10} {:<15} {:>24} {:>24} {:>9} {:>9} {:>7}",
        "poisoner",
        "rule",
        "wrongly banned",
        "attacks let through",
        "poisoned",
        "mistaken",
        "shared"
    );
    for (poisoner, called) in poisoners {
        let worlds: Vec<World> = seeds
            .iter()
            .map(|s| World::new(*s, *poisoner, size))
            .collect();
        let mut all = Vec::new();
        for (rule, rule_name) in RULES {
            let scores: Vec<Score> = worlds.iter().map(|world| run(world, rule)).collect();
            println!(
                "{called:<10} {rule_name:<15} {:>24} {:>24} {:>9.0} {:>9.0} {:>7.0}",
                spread(&scores, |s| s.wrong),
                spread(&scores, |s| s.attacks),
                mean(&scores, |s| s.poisoned),
                mean(&scores, |s| s.mistaken),
                mean(&scores, |s| s.shared),
            );
            all.push((rule, scores));
        }
        println!("{:<10} {}", "", judgement(&all));
    }
    println!();
}

fn mean(scores: &[Score], of: fn(&Score) -> f64) -> f64 {
    scores.iter().map(of).sum::<f64>() / scores.len() as f64
}

fn spread(scores: &[Score], of: fn(&Score) -> f64) -> String {
    let all = scores.iter().map(of);
    let least = all.clone().fold(f64::INFINITY, f64::min);
    let most = all.fold(0.0, f64::max);
    format!("{:.0} ({least:.0} to {most:.0})", mean(scores, of))
}

/// In how many of the seeds it is as wished.
fn judgement(all: &[(Rule, Vec<Score>)]) -> String {
    let of = |rule: Rule| {
        all.iter()
            .find(|(r, _)| *r == rule)
            .map(|(_, scores)| scores)
    };
    let (Some(accept), Some(k), Some(ours)) = (of(Rule::AcceptAll), of(Rule::KOfN), of(Rule::Ours))
    else {
        return String::new();
    };
    let seeds = ours.len();
    let fewer = |n: &usize| ours[*n].wrong < k[*n].wrong && ours[*n].wrong < accept[*n].wrong;
    let no_more = |n: &usize| ours[*n].attacks <= k[*n].attacks;
    format!(
        "ours: fewer wrongly banned than both others in {} of {seeds} seeds, no more attacks let \
         through than 3 of n in {} of {seeds}",
        (0..seeds).filter(fewer).count(),
        (0..seeds).filter(no_more).count(),
    )
}
