//! A small run of what `bench/trust` runs: fixed seed, all poisoners, three rules.

#[path = "../../examples/simulate/dice.rs"]
mod dice;
#[path = "../../examples/simulate/judges.rs"]
mod judges;
#[path = "../../examples/simulate/run.rs"]
mod run;
#[path = "../../examples/simulate/world.rs"]
mod world;

use judges::Rule;
use world::{Poisoner, Size, World};

#[test]
fn ours_bans_fewer_innocents_and_lets_no_more_attacks_through() {
    for poisoner in [
        Poisoner::None,
        Poisoner::Slow,
        Poisoner::Sybil,
        Poisoner::Hijacked,
        Poisoner::Colluders,
    ] {
        let world = World::new(11, poisoner, &Size::small());
        let [all, k, ours] =
            [Rule::AcceptAll, Rule::KOfN, Rule::Ours].map(|rule| run::run(&world, rule));
        assert!(
            ours.wrong < k.wrong && ours.wrong < all.wrong,
            "{poisoner:?} {ours:?} {k:?} {all:?}"
        );
        assert!(ours.attacks <= k.attacks, "{poisoner:?} {ours:?} {k:?}");
        assert!(
            k.wrong > 0.0 && ours.attacks > 0.0,
            "an empty world proves nothing"
        );
    }
}
