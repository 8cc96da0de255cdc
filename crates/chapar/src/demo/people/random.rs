//! This module makes repeatable random numbers. Each draw is named by (seed, what for, index), so any
//! person's values can be made without making anyone else's. It is not for keys, because the numbers are
//! predictable by design.

/// What a stream of numbers is for. One variant per independent choice, so that a new one changes no other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    Account = 1,
    Agriculture,
    Banking,
    Civil,
    Education,
    Family,
    Gap,
    Health,
    HealthFamily,
    School,
    Spelling,
    Village,
}

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, passes BigCrush, three lines.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `index` for one use.
    pub(crate) fn new(seed: u64, purpose: For, index: u64) -> Self {
        // The purpose is mixed in first, so that one index gives other numbers for each use.
        let mut mixed = Self(seed ^ (purpose as u64) << 56);
        Self(mixed.next() ^ index.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 if `bound` is 0. The bias is below bound / 2⁶⁴.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // Multiplies and shifts (Lemire 2019), which needs no division.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32
    }

    /// A number from `low` to `high`, both included; `low` if they are the wrong way round.
    pub(crate) fn between(&mut self, low: i32, high: i32) -> i32 {
        low.saturating_add(self.below((high.saturating_sub(low).saturating_add(1)).max(1) as u32) as i32)
    }

    /// True in `permille` of 1,000 draws.
    pub(crate) fn happens(&mut self, permille: u32) -> bool {
        self.below(1000) < permille
    }

    /// One of `items`, which must not be empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u32) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_gives_the_same_numbers() {
        let draw = |purpose, index| Random::new(7, purpose, index).next();
        assert_eq!(draw(For::Family, 3), draw(For::Family, 3));
        assert_ne!(draw(For::Family, 3), draw(For::Family, 4));
        assert_ne!(draw(For::Family, 3), draw(For::Health, 3));
    }

    #[test]
    fn the_first_numbers_are_those_of_the_published_algorithm() {
        let mut random = Random(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn a_chance_comes_true_about_as_often_as_it_says() {
        let mut random = Random::new(1, For::Gap, 0);
        let hits = (0..100_000).filter(|_| random.happens(30)).count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
    }
}
