//! Dice that fall the same way for the same seed, on every machine.

/// A small generator (SplitMix64): good enough to invent people, not to keep secrets.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Dice for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x9e37_79b9_7f4a_7c15 }
    }

    /// Independent dice for a part of the work, told by numbers.
    #[must_use]
    pub fn of(seed: u64, parts: &[u64]) -> Self {
        let mut dice = Self::new(seed);
        for part in parts {
            dice.state ^= part.wrapping_mul(0xff51_afd7_ed55_8ccd);
            dice.state = dice.next();
        }
        dice
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)] // an iterator would say that it may end
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..1`.
    pub fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In `0..n`; 0 for `n` = 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    /// In `from..=to`.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1).max(1) as usize) as i64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.part() < probability
    }

    /// One of a list, which must not be empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// The position of one of a list of weights.
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let sum: f64 = weights.clone().sum();
        let mut left = self.part() * sum;
        let mut last = 0;
        for (position, weight) in weights.enumerate() {
            if weight > 0.0 {
                last = position;
            }
            left -= weight;
            if left < 0.0 {
                return position;
            }
        }
        last
    }

    /// Normally distributed.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        // Twelve uniform parts have variance one: no logarithm that machines round differently.
        let sum: f64 = (0..12).map(|_| self.part()).sum();
        mean + (sum - 6.0) * deviation
    }

    /// A count whose mean is `mean`.
    pub fn count(&mut self, mean: f64) -> usize {
        let whole = mean.floor();
        let mut count = 0;
        // Binomial parts around the mean: many small chances.
        for _ in 0..(whole as usize * 2) {
            count += usize::from(self.chance(0.5));
        }
        count + usize::from(self.chance(mean - whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_falls_the_same_way() {
        let (mut a, mut b) = (Random::of(1, &[2, 3]), Random::of(1, &[2, 3]));
        let mut other = Random::of(1, &[3, 2]);
        let first: Vec<u64> = (0..5).map(|_| a.next()).collect();
        assert_eq!(first, (0..5).map(|_| b.next()).collect::<Vec<_>>());
        assert_ne!(first, (0..5).map(|_| other.next()).collect::<Vec<_>>());
    }

    #[test]
    fn weights_and_means_are_kept() {
        let mut dice = Random::new(7);
        let heavy = (0..10_000).filter(|_| dice.weighted([1.0, 3.0].into_iter()) == 1).count();
        assert!((7_200..7_800).contains(&heavy), "{heavy}");
        let sum: usize = (0..10_000).map(|_| dice.count(2.4)).sum();
        assert!((23_000..25_000).contains(&sum), "{sum}");
        let mean: f64 = (0..10_000).map(|_| dice.normal(120.0, 10.0)).sum::<f64>() / 10_000.0;
        assert!((119.0..121.0).contains(&mean));
    }
}
