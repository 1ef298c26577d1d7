//! Rotary position embedding: how fast each pair of dimensions turns.

use std::f64::consts::PI;

/// How a rotary embedding pairs the dimensions of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// Neighbours: 0 with 1, 2 with 3.
    Interleaved,
    /// The first half with the second: 0 with n/2.
    Halves,
}

/// How the frequencies are changed for sequences longer than those that the model was first trained for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Positions are divided by `factor`; 1 changes nothing.
    Linear {
        /// At least 1 in practice.
        factor: f32,
    },
    /// YaRN (Peng and others, 2023): slow pairs as with `Linear`, fast ones as they are, and a ramp between.
    Yarn {
        /// Extension of the context.
        factor: f32,
        /// Positions of the first training.
        original_context: usize,
        /// Pairs that turn more often than this over the original context stay as they are.
        beta_fast: f32,
        /// Pairs that turn less often are scaled.
        beta_slow: f32,
        /// Whether the ends of the ramp are whole pairs.
        whole_pairs: bool,
    },
    /// Llama 3.1: by wavelength. Slow pairs are divided by `factor`, fast ones stay.
    Llama3 {
        /// Extension of the context.
        factor: f32,
        /// Wavelengths above `original_context / low` are scaled.
        low: f32,
        /// Wavelengths below `original_context / high` stay.
        high: f32,
        /// Positions of the first training.
        original_context: usize,
    },
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Pairing of dimensions.
    pub layout: RopeLayout,
    /// Dimensions of each head that turn, an even number; the others stay.
    pub dimensions: usize,
    /// Base of the frequencies.
    pub base: f32,
    /// Change for long contexts.
    pub scaling: RopeScaling,
    /// Queries and keys grow by this as they turn.
    pub magnitude: f32,
}

impl RopeConfig {
    /// Radians per position of each pair; `factors`, one for each, divide them.
    ///
    /// # Panics
    /// If there are fewer factors than pairs.
    pub fn frequencies(&self, factors: Option<&[f32]>) -> Vec<f64> {
        let pairs = self.dimensions / 2;
        let plain = |pair: usize| f64::from(self.base).powf(-2.0 * pair as f64 / self.dimensions as f64);
        let factor = |pair: usize| factors.map_or(1.0, |factors| f64::from(factors[pair]));
        (0..pairs).map(|pair| self.scaled(pair, plain(pair)) / factor(pair)).collect()
    }

    fn scaled(&self, pair: usize, frequency: f64) -> f64 {
        match self.scaling {
            RopeScaling::Linear { factor } => frequency / f64::from(factor),
            RopeScaling::Yarn { factor, .. } => {
                let kept = self.kept_by_yarn(pair);
                frequency * (kept + (1.0 - kept) / f64::from(factor))
            }
            RopeScaling::Llama3 { factor, low, high, original_context } => {
                let turns = original_context as f64 * frequency / (2.0 * PI);
                let kept = ((turns - f64::from(low)) / f64::from(high - low)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / f64::from(factor))
            }
        }
    }

    /// How much of its own frequency YaRN leaves to a pair: 1 for the fast ones, 0 for the slow.
    fn kept_by_yarn(&self, pair: usize) -> f64 {
        let RopeScaling::Yarn { original_context, beta_fast, beta_slow, whole_pairs, .. } = self.scaling else {
            return 1.0;
        };
        let dimensions = self.dimensions as f64;
        // The pair, as a real number, that turns so many times over the original context.
        let pair_of = |turns: f32| {
            dimensions * (original_context as f64 / (f64::from(turns) * 2.0 * PI)).ln()
                / (2.0 * f64::from(self.base).ln())
        };
        let (mut low, mut high) = (pair_of(beta_fast), pair_of(beta_slow));
        if whole_pairs {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, high) = (low.max(0.0), high.min(dimensions - 1.0));
        1.0 - ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0)
    }
}
