//! One row and quantised weights: as fast as memory gives the weights.

use std::arch::x86_64::*;
use std::ops::Range;

use super::finish;
use super::quants::{
    INT8, Q4_K, Q6_K, Source, add_scaled, block_bytes, dots, half_minima, minima, scales, take_off, without_offset,
};
use crate::matmul::Task;
use crate::weights::BLOCK;

/// How far ahead of use weights are fetched.
const AHEAD: usize = 4096;

/// All rows from row `from` on of some tiles, one by one.
///
/// # Safety
/// No other thread has these tiles.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tiles<const D: u8>(task: &Task<'_>, tiles: Range<usize>, from: usize) {
    for row in from..task.x.m {
        let mut tile = tiles.start;
        while tile + 2 <= tiles.end {
            // SAFETY: passed on; rows and tiles exist.
            unsafe { kernel::<D, 2>(task, tile, row) };
            tile += 2;
        }
        if tile < tiles.end {
            // SAFETY: as above.
            unsafe { kernel::<D, 1>(task, tile, row) };
        }
    }
}

/// A row by `NT` tiles from `tile`.
///
/// # Safety
/// Row and tiles exist, and no other thread has these tiles.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn kernel<const D: u8, const NT: usize>(task: &Task<'_>, tile: usize, row: usize) {
    let (x, k) = (&task.x.quants, task.x.k);
    let n_blocks = k / BLOCK;
    debug_assert!(row < task.x.m && tile + NT <= task.weights.n_tiles());
    let mut sums = [[_mm256_setzero_ps(); 2]; NT];
    // SAFETY: row and tiles exist and have the blocks; a prefetch does not fault.
    unsafe {
        let bytes = x.bytes.as_ptr().add(row * k);
        for block in 0..n_blocks {
            let index = row * n_blocks + block;
            let x_scale = *x.scales.get_unchecked(index);
            let scale = _mm256_set1_ps(x_scale);
            let bytes = bytes.add(block * BLOCK);
            for (j, sums) in sums.iter_mut().enumerate() {
                let quants = task.weights.quants.as_ptr().add((tile + j) * task.weights.tile_quants);
                let meta = task.weights.meta.as_ptr().add((tile + j) * task.weights.tile_meta);
                for line in (0..block_bytes(D)).step_by(64) {
                    let at = quants.wrapping_add(block * block_bytes(D) + AHEAD + line);
                    _mm_prefetch::<_MM_HINT_T0>(at.cast());
                }
                let source = Source::Packed { quants, block };
                if D == Q6_K {
                    let halves = [*x.half_sums.get_unchecked(index * 2), *x.half_sums.get_unchecked(index * 2 + 1)];
                    let [first] = dots::<D, false, 1>(source, bytes);
                    let first = without_offset::<D>(first, halves[0]);
                    *sums = add_scaled(*sums, first, scales::<D, false>(meta, block), scale);
                    let [second] = dots::<D, true, 1>(source, bytes);
                    let second = without_offset::<D>(second, halves[1]);
                    *sums = add_scaled(*sums, second, scales::<D, true>(meta, block), scale);
                } else {
                    let [dots] = dots::<D, false, 1>(source, bytes);
                    let dots = without_offset::<D>(dots, *x.sums.get_unchecked(index));
                    *sums = add_scaled(*sums, dots, scales::<D, false>(meta, block), scale);
                }
                if D == Q4_K {
                    let scaled_sum = _mm256_set1_ps(*x.scaled_sums.get_unchecked(index));
                    *sums = take_off(*sums, minima(meta, block), scaled_sum);
                }
                if D == INT8 {
                    for (half, minima) in half_minima(meta, block).into_iter().enumerate() {
                        let sum = x_scale * *x.half_sums.get_unchecked(index * 2 + half) as f32;
                        *sums = take_off(*sums, minima, _mm256_set1_ps(sum));
                    }
                }
            }
        }
        for (j, sums) in sums.into_iter().enumerate() {
            finish(task, row, tile + j, sums);
        }
    }
}
