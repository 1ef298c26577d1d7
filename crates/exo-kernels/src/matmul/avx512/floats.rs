//! Float weights: one chain of multiply-adds per output, over the inputs in order.

use std::arch::x86_64::*;
use std::mem::transmute;
use std::ops::Range;

use super::{finish, row_groups};
use crate::dtype::Layout;
use crate::matmul::Task;

const F32: u8 = 0;
const F16: u8 = 1;
const BF16: u8 = 2;

/// How far ahead of use weights are fetched when they are read once.
const AHEAD: usize = 2048;

/// All rows of some tiles, from row `from` on.
///
/// # Safety
/// No other thread has these tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,fma,f16c")]
pub(super) unsafe fn tiles(task: &Task<'_>, tiles: Range<usize>, from: usize) {
    // SAFETY: passed on.
    unsafe {
        match task.weights.layout() {
            Layout::F32 => typed::<F32>(task, tiles, from),
            Layout::F16 => typed::<F16>(task, tiles, from),
            _ => typed::<BF16>(task, tiles, from),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,fma,f16c")]
unsafe fn typed<const D: u8>(task: &Task<'_>, tiles: Range<usize>, from: usize) {
    let mut tile = tiles.start;
    if task.x.m - from == 1 {
        // Eight chains: a multiply-add has to wait for the one before it in its chain.
        while tile + 8 <= tiles.end {
            // SAFETY: passed on.
            unsafe { kernel::<D, 1, 8>(task, tile, from) };
            tile += 8;
        }
    }
    while tile + 2 <= tiles.end {
        // SAFETY: passed on.
        row_groups!(task, from, 12, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], |MR, row| unsafe {
            kernel::<D, MR, 2>(task, tile, row)
        });
        tile += 2;
    }
    while tile < tiles.end {
        // SAFETY: passed on.
        row_groups!(task, from, 12, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], |MR, row| unsafe {
            kernel::<D, MR, 1>(task, tile, row)
        });
        tile += 1;
    }
}

/// `MR` rows from `row` by `NT` tiles from `tile`.
///
/// # Safety
/// Rows and tiles exist, and no other thread has these tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,fma,f16c")]
unsafe fn kernel<const D: u8, const MR: usize, const NT: usize>(task: &Task<'_>, tile: usize, row: usize) {
    let weights = task.weights;
    debug_assert!(row + MR <= task.x.m && tile + NT <= weights.n_tiles());
    // Of bf16 one step takes a pair of inputs; both are 32 bits wide, which is all that the loads know of them.
    let (x, steps) = if D == BF16 {
        (task.x.pairs.values.as_ptr().cast::<f32>(), task.x.pair_stride())
    } else {
        (task.x.floats.values.as_ptr(), task.x.k)
    };
    let bytes_per_step = if D == F16 { 32 } else { 64 };
    let mut sums = [[_mm512_setzero_ps(); NT]; MR];
    for step in 0..steps {
        // SAFETY: the tiles and rows exist and have `steps` steps.
        unsafe {
            let mut vectors = [_mm512_setzero_ps(); NT];
            for (j, vector) in vectors.iter_mut().enumerate() {
                let at = weights.quants.as_ptr().add((tile + j) * weights.tile_quants + step * bytes_per_step);
                if MR == 1 {
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                }
                *vector = load::<D>(at);
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*x.add((row + i) * steps + step));
                for j in 0..NT {
                    sums[j] = multiply_add::<D>(vectors[j], x, sums[j]);
                }
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (j, sums) in sums.into_iter().enumerate() {
            // SAFETY: passed on.
            unsafe { finish(task, row + i, tile + j, sums) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
unsafe fn load<const D: u8>(at: *const u8) -> __m512 {
    // SAFETY: the caller's pointer has 32 bytes of F16 or 64 of others.
    unsafe { if D == F16 { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) } else { _mm512_loadu_ps(at.cast()) } }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16,fma")]
fn multiply_add<const D: u8>(weights: __m512, x: __m512, sums: __m512) -> __m512 {
    if D == BF16 {
        // SAFETY: both types are 64 bytes of plain numbers.
        let (weights, x) = unsafe { (transmute::<__m512, __m512bh>(weights), transmute::<__m512, __m512bh>(x)) };
        _mm512_dpbf16_ps(sums, weights, x)
    } else {
        _mm512_fmadd_ps(weights, x, sums)
    }
}
