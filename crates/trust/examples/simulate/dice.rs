//! Dice that fall the same way everywhere: SplitMix64.

#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x1234_5678_9abc_def1)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// From 0 to 1, never 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Heavy-tailed: at least `least`, at most `most`.
    pub(crate) fn pareto(&mut self, alpha: f64, least: f64, most: f64) -> f64 {
        (least / (1.0 - self.unit()).powf(1.0 / alpha)).min(most)
    }

    /// A rank below `n`; the first ones by far the most often.
    pub(crate) fn zipf(&mut self, n: usize) -> usize {
        let rank = ((n as f64).ln() * self.unit()).exp();
        (rank as usize).min(n) - 1
    }
}
