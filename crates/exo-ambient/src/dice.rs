//! Numbers from a seed.

/// Seeded numbers, by splitmix64 (Steele, Lea, Flood 2014): enough for faults, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias is below end / 2^64.
        self.roll() % end.max(1)
    }

    /// True in this share of the calls.
    pub fn falls(&mut self, share: f64) -> bool {
        // The upper 53 bits are an even number of [0, 1).
        ((self.roll() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    /// Dice of their own, which take nothing from these from then on.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.roll())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_fall_as_often_as_they_should() {
        let mut dice = Dice::new(7);
        let fell = (0..10_000).filter(|_| dice.falls(0.25)).count();
        assert!((2_300..2_700).contains(&fell), "{fell}");
        assert!(!(0..100).any(|_| dice.falls(0.0)));
        assert!((0..100).all(|_| dice.falls(1.0)));
        assert!((0..100).all(|_| dice.below(3) < 3));
        assert_eq!(dice.below(0), 0);
    }
}
