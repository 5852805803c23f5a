//! The prefilter's condition over the texts a line holds, judged from what was seen upwards.
//!
//! A condition is built of `any of these texts`, `all of` and `either of`, without negation.
//! So what a seen text makes true can only make more true: each truth is passed on to the parts
//! that ask for it, once, until the root holds or nothing is left. A line with few texts costs few
//! steps, however many rules there are.

/// A part of a condition.
pub(crate) enum Input<'a> {
    /// One of these texts, by number.
    Any(&'a [u32]),
    /// All of these parts.
    All(&'a [u32]),
    /// One of these parts.
    Either(&'a [u32]),
    /// Holds, or does not, whatever is seen: only a root may be so.
    Fixed,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    /// By text: the parts that it makes true.
    by_text: Vec<Vec<u32>>,
    /// By part: those that ask for it.
    parents: Vec<Vec<u32>>,
    /// By part: how many of what it asks for must be true.
    need: Vec<u32>,
    root: u32,
}

/// Scratch memory of a judgement; reused from line to line.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    line: u32,
    /// By part: the line it was last counted for, and how many truths it got.
    got: Vec<(u32, u32)>,
    waiting: Vec<u32>,
    verdicts: Verdicts,
}

/// The last verdicts, by the texts that were seen: most lines of a log are of a few kinds.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Vec<Verdict>);

#[derive(Clone, Debug, Default)]
struct Verdict {
    /// Empty: nothing is kept here yet.
    seen: Vec<u64>,
    holds: bool,
}

impl Verdict {
    /// Word by word: the bits were just set, and a wider comparison would wait for them.
    fn is_of(&self, seen: &[u64]) -> bool {
        self.seen.len() == seen.len() && self.seen.iter().zip(seen).all(|(a, b)| a == b)
    }
}

/// Verdicts kept for one gate, a power of two.
const VERDICTS: usize = 2_048;

impl Verdicts {
    /// Where the verdict about these texts is kept.
    fn place(&mut self, seen: &[u64]) -> Option<&mut Verdict> {
        if self.0.is_empty() {
            self.0.resize(VERDICTS, Verdict::default());
        }
        // Fowler, Noll and Vo's steps, a word at a time; the upper bits are the mixed ones.
        let hash = seen.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, word| {
            (hash ^ word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29)
        });
        self.0.get_mut((hash >> 32) as usize % VERDICTS)
    }
}

impl Network {
    pub(crate) fn new<'a>(
        texts: usize,
        parts: impl ExactSizeIterator<Item = Input<'a>>,
        root: u32,
    ) -> Self {
        let count = parts.len();
        let mut network = Self {
            by_text: vec![Vec::new(); texts],
            parents: vec![Vec::new(); count],
            need: vec![1; count],
            root,
        };
        for (part, input) in (0_u32..).zip(parts) {
            let (sources, lists) = match input {
                Input::Any(sources) => (sources, &mut network.by_text),
                Input::All(sources) | Input::Either(sources) => (sources, &mut network.parents),
                Input::Fixed => continue,
            };
            for source in sources {
                if let Some(list) = lists.get_mut(*source as usize) {
                    list.push(part);
                }
            }
            if let (Input::All(sources), Some(need)) = (input, network.need.get_mut(part as usize))
            {
                *need = u32::try_from(sources.len()).unwrap_or(u32::MAX);
            }
        }
        network
    }

    /// Whether the root holds for a line in which just these texts, a bit each, stand.
    pub(crate) fn judge(&self, seen: &[u64], tally: &mut Tally) -> bool {
        if let Some(known) = tally.verdicts.place(seen).filter(|v| v.is_of(seen)) {
            return known.holds;
        }
        let texts = (0..)
            .zip(seen)
            .flat_map(|(word, bits)| ones(*bits).map(move |bit| word * 64 + bit));
        let holds = self.holds(texts, tally);
        if let Some(verdict) = tally.verdicts.place(seen) {
            verdict.seen.clear();
            verdict.seen.extend_from_slice(seen);
            verdict.holds = holds;
        }
        holds
    }

    /// The same, worked out. Each text is given once.
    fn holds(&self, seen: impl Iterator<Item = usize>, tally: &mut Tally) -> bool {
        tally.begin(self.need.len());
        for text in seen {
            let asking = self.by_text.get(text).map_or(&[][..], Vec::as_slice);
            tally.waiting.extend_from_slice(asking);
            while let Some(part) = tally.waiting.pop() {
                if self.count(part, tally) && self.pass_on(part, tally) {
                    return true;
                }
            }
        }
        false
    }

    /// Counts a truth for the part; whether it became true by it.
    fn count(&self, part: u32, tally: &mut Tally) -> bool {
        let line = tally.line;
        let Some((counted, got)) = tally.got.get_mut(part as usize) else {
            return false;
        };
        if *counted != line {
            (*counted, *got) = (line, 0);
        }
        *got += 1;
        self.need.get(part as usize) == Some(got)
    }

    /// Tells those that ask for the part; whether it was the root.
    fn pass_on(&self, part: u32, tally: &mut Tally) -> bool {
        let parents = self.parents.get(part as usize);
        let parents = parents.map_or(&[][..], Vec::as_slice);
        tally.waiting.extend_from_slice(parents);
        part == self.root
    }
}

/// The places of the ones in `bits`.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros() as usize;
        (bits != 0).then(|| {
            bits &= bits - 1;
            at
        })
    })
}

impl Tally {
    fn begin(&mut self, parts: usize) {
        self.waiting.clear();
        self.line = self.line.wrapping_add(1);
        // After four thousand million lines the numbers begin again.
        if self.got.len() != parts || self.line == 0 {
            self.got.clear();
            self.got.resize(parts, (0, 0));
            self.line = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXTS: u32 = 6;

    #[derive(Clone, Debug)]
    struct Part {
        kind: u8,
        of: Vec<u32>,
    }

    impl Part {
        fn input(&self) -> Input<'_> {
            match self.kind {
                0 => Input::Any(&self.of),
                1 => Input::All(&self.of),
                _ => Input::Either(&self.of),
            }
        }
    }

    /// The definition: top down, without memory.
    fn reference(parts: &[Part], part: usize, seen: &[u32]) -> bool {
        let Part { kind, of } = &parts[part];
        match kind {
            0 => of.iter().any(|text| seen.contains(text)),
            1 => of.iter().all(|p| reference(parts, *p as usize, seen)),
            _ => of.iter().any(|p| reference(parts, *p as usize, seen)),
        }
    }

    /// Parts refer to earlier parts only, each at most once; the first ones are texts.
    fn conditions() -> impl Strategy<Value = Vec<Part>> {
        let raw =
            proptest::collection::vec((0_u8..3, proptest::collection::vec(0_u32..20, 1..4)), 1..12);
        raw.prop_map(|raw| {
            let shape = |(at, (kind, mut of)): (usize, (u8, Vec<u32>))| {
                let kind = if at < 3 { 0 } else { kind };
                let below = if kind == 0 { TEXTS } else { at as u32 };
                of.iter_mut().for_each(|n| *n %= below);
                of.sort_unstable();
                of.dedup();
                Part { kind, of }
            };
            raw.into_iter().enumerate().map(shape).collect()
        })
    }

    proptest! {
        #[test]
        fn judges_like_the_definition(
            parts in conditions(),
            lines in proptest::collection::vec(proptest::collection::btree_set(0..TEXTS, 0..5), 1..5),
        ) {
            let root = parts.len() - 1;
            let network = Network::new(TEXTS as usize, parts.iter().map(Part::input), root as u32);
            let mut tally = Tally::default();
            for line in lines {
                let seen: Vec<u32> = line.into_iter().collect();
                let expected = reference(&parts, root, &seen);
                let judged = network.holds(seen.iter().map(|n| *n as usize), &mut tally);
                prop_assert_eq!(judged, expected);
                let bits = [seen.iter().fold(0, |bits, n| bits | 1_u64 << n)];
                // The second time from memory.
                for _ in 0..2 {
                    prop_assert_eq!(network.judge(&bits, &mut tally), expected);
                }
            }
        }
    }
}
