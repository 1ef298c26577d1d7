//! Float weights: one chain of multiply-adds per output, over the inputs in order.

use std::arch::x86_64::*;

use super::LANES;
use crate::matmul::Task;
use crate::weights::TILE;

pub(super) const F32: u8 = 0;
pub(super) const F16: u8 = 1;
pub(super) const BF16: u8 = 2;

/// The sums of `MR` rows from `row` and eight outputs.
///
/// # Safety
/// Rows and tile exist.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn kernel<const D: u8, const MR: usize>(
    task: &Task<'_>,
    tile: usize,
    first_lane: usize,
    row: usize,
) -> [__m256; MR] {
    let (x, steps) = if D == BF16 {
        (task.x.pairs.values.as_ptr().cast::<f32>(), task.x.pair_stride())
    } else {
        (task.x.floats.values.as_ptr(), task.x.k)
    };
    let width = if D == F16 { 2 } else { 4 };
    let weights = task.weights.quants_of(tile).as_ptr();
    let mut sums = [_mm256_setzero_ps(); MR];
    for step in 0..steps {
        // SAFETY: the tile and the rows have `steps` steps.
        unsafe {
            let at = weights.add((step * TILE + first_lane) * width);
            debug_assert!((step * TILE + first_lane + LANES) * width <= task.weights.tile_quants);
            if D == BF16 {
                let pairs = _mm256_loadu_si256(at.cast());
                let (even, odd) = split(pairs);
                for (i, sum) in sums.iter_mut().enumerate() {
                    let (x_even, x_odd) =
                        split(_mm256_castps_si256(_mm256_broadcast_ss(&*x.add((row + i) * steps + step))));
                    *sum = _mm256_fmadd_ps(odd, x_odd, _mm256_fmadd_ps(even, x_even, *sum));
                }
            } else {
                let weights =
                    if D == F16 { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) } else { _mm256_loadu_ps(at.cast()) };
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm256_fmadd_ps(weights, _mm256_broadcast_ss(&*x.add((row + i) * steps + step)), *sum);
                }
            }
        }
    }
    sums
}

/// The first and the second bf16 of each pair.
#[inline]
#[target_feature(enable = "avx2")]
fn split(pairs: __m256i) -> (__m256, __m256) {
    let odd = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
    (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)), _mm256_castsi256_ps(odd))
}
