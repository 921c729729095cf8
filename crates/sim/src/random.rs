//! Random numbers that a seed fixes for good.
//!
//! A seed that once failed is pinned as a test, so the same seed must give the same run in every later version. No
//! generator of the `rand` crate promises that across versions; xoshiro256** in twenty lines does.

/// A generator; equal seeds give equal numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
    /// Nothing is left to chance.
    steady: bool,
}

impl Random {
    /// Spreads `seed` over the whole state by splitmix64, so that neighbouring seeds are unrelated.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut x = seed;
        let state = std::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state, steady: false }
    }

    /// Another stream of the same seed, which shares nothing with the first.
    #[must_use]
    pub fn beside(seed: u64) -> Self {
        Self::new(!seed)
    }

    /// No chance at all, for a story that is told step by step: what takes a while takes the longest that it can, of
    /// several things the first happens, and nothing does that need not.
    #[must_use]
    pub fn steady() -> Self {
        Self { state: [0; 4], steady: true }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if self.steady {
            return 0;
        }
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// An index into a list of `length` items.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Both bounds included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        if self.steady { high } else { low + self.below((high - low + 1).unsigned_abs()) as i64 }
    }

    /// True with probability `percent` / 100.
    pub fn percent(&mut self, percent: u64) -> bool {
        !self.steady && self.below(100) < percent
    }

    /// The index of one of `weights`, each as likely as its weight says.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let mut pick = self.below(total);
        for (i, &weight) in weights.iter().enumerate() {
            if pick < u64::from(weight) {
                return i;
            }
            pick -= u64::from(weight);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        let mut random = Random::new(7);
        let first: Vec<u64> = (0..4).map(|_| random.below(1000)).collect();
        assert_eq!(first, PINNED);
    }

    const PINNED: [u64; 4] = [700, 278, 839, 981];
}
