//! Running softmax.

use crate::lanes::{Lanes, exp, fma, sum};

/// What one head has seen so far: the largest score, the sum of the weights (per lane of positions), the weighted sum
/// of the values, all relative to the largest score.
pub(super) struct State<'a> {
    pub(super) largest: f32,
    pub(super) total: Lanes,
    pub(super) out: &'a mut [f32],
}

impl State<'_> {
    /// Makes room for scores up to `largest`.
    #[inline(always)]
    pub(super) fn raise<const FMA: bool>(&mut self, largest: f32) {
        let largest = if largest > self.largest { largest } else { self.largest };
        let by = exp::<FMA>(self.largest - largest);
        self.total.iter_mut().for_each(|total| *total *= by);
        self.out.iter_mut().for_each(|out| *out *= by);
        self.largest = largest;
    }

    /// Adds what another state has seen behind this one.
    #[inline(always)]
    pub(super) fn merge<const FMA: bool>(&mut self, other: &State<'_>) {
        self.raise::<FMA>(other.largest);
        let by = exp::<FMA>(other.largest - self.largest);
        for (total, other) in self.total.iter_mut().zip(&other.total) {
            *total = fma::<FMA>(*other, by, *total);
        }
        for (out, other) in self.out.iter_mut().zip(other.out.iter()) {
            *out = fma::<FMA>(*other, by, *out);
        }
    }

    /// Divides by the sum of the weights.
    #[inline(always)]
    pub(super) fn finish(&mut self) {
        let by = 1.0 / sum(&self.total);
        self.out.iter_mut().for_each(|out| *out *= by);
    }
}
