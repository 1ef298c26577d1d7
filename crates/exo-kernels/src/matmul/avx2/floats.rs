//! Float weights: one chain of multiply-adds per output, over the inputs in order.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{LANES, finish};
use crate::matmul::Task;
use crate::weights::TILE;

pub(super) const F32: u8 = 0;
pub(super) const F16: u8 = 1;
pub(super) const BF16: u8 = 2;

/// How far ahead of use weights are fetched when they are read once.
const AHEAD: usize = 2048;
/// Rows and tiles whose sums are kept beside the weights.
const MOST_ROWS: usize = 48;
const MOST_TILES: usize = 8;
/// Inputs (of bf16, pairs) that are taken before other rows get their turn: eight tiles of them stay in a core's cache.
const STEPS: usize = 256;

/// The sums of a tile for a row.
type Sums = [[f32; LANES]; 2];

/// All rows of some tiles.
///
/// # Safety
/// No other thread has these tiles.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tiles<const D: u8>(task: &Task<'_>, tiles: Range<usize>) {
    let m = task.x.m;
    for tile in tiles.clone().step_by(MOST_TILES) {
        let tiles = tile..tiles.end.min(tile + MOST_TILES);
        for row in (0..m).step_by(MOST_ROWS) {
            let rows = row..m.min(row + MOST_ROWS);
            // SAFETY: passed on; rows and tiles exist.
            unsafe {
                if m == 1 { row_by_tiles::<D>(task, row, tiles.clone()) } else { block::<D>(task, rows, tiles.clone()) }
            };
        }
    }
}

/// A single row: as fast as memory gives the weights.
///
/// # Safety
/// Row and tiles exist, and no other thread has these tiles.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn row_by_tiles<const D: u8>(task: &Task<'_>, row: usize, tiles: Range<usize>) {
    let mut tile = tiles.start;
    // SAFETY: passed on.
    unsafe {
        // Eight chains: a multiply-add has to wait for the one before it in its chain.
        while tile + 4 <= tiles.end {
            stream::<D, 4>(task, row, tile);
            tile += 4;
        }
        while tile < tiles.end {
            stream::<D, 1>(task, row, tile);
            tile += 1;
        }
    }
}

/// # Safety
/// As [`row_by_tiles`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn stream<const D: u8, const NT: usize>(task: &Task<'_>, row: usize, tile: usize) {
    let (x, steps) = inputs::<D>(task);
    let mut sums = [[[_mm256_setzero_ps(); 2]; 1]; NT];
    for step in 0..steps {
        for (j, sums) in sums.iter_mut().enumerate() {
            // SAFETY: tiles and row have `steps` steps; a prefetch does not fault.
            unsafe {
                let at = weights_at::<D>(task, tile + j, step);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                multiply_add::<D, 1>(at, x.add(row * steps + step), steps, sums);
            }
        }
    }
    for (j, [sums]) in sums.into_iter().enumerate() {
        // SAFETY: passed on.
        unsafe { finish(task, row, tile + j, sums) };
    }
}

/// Some rows by some tiles.
///
/// # Safety
/// Rows (at most [`MOST_ROWS`]) and tiles (at most [`MOST_TILES`]) exist, and no other thread has these tiles.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn block<const D: u8>(task: &Task<'_>, rows: Range<usize>, tiles: Range<usize>) {
    let mut sums = [[[[0.0; LANES]; 2]; MOST_ROWS]; MOST_TILES];
    let (_, steps) = inputs::<D>(task);
    for step in (0..steps).step_by(STEPS) {
        let part = step..steps.min(step + STEPS);
        let mut row = rows.start;
        while row < rows.end {
            let group = (rows.end - row).min(if D == BF16 { 4 } else { 6 });
            for (tile, sums) in tiles.clone().zip(&mut sums) {
                let sums = &mut sums[row - rows.start..][..group];
                // SAFETY: the rows of the group and the tile exist.
                unsafe {
                    match group {
                        6 => chunk::<D, 6>(task, row, tile, part.clone(), sums),
                        5 => chunk::<D, 5>(task, row, tile, part.clone(), sums),
                        4 => chunk::<D, 4>(task, row, tile, part.clone(), sums),
                        3 => chunk::<D, 3>(task, row, tile, part.clone(), sums),
                        2 => chunk::<D, 2>(task, row, tile, part.clone(), sums),
                        _ => chunk::<D, 1>(task, row, tile, part.clone(), sums),
                    }
                }
            }
            row += group;
        }
    }
    for (tile, sums) in tiles.zip(&sums) {
        for (row, sums) in rows.clone().zip(sums) {
            // SAFETY: two registers; the outputs are the caller's.
            unsafe { finish(task, row, tile, sums.map(|half| _mm256_loadu_ps(half.as_ptr()))) };
        }
    }
}

/// Some inputs of `MR` rows by a tile.
///
/// # Safety
/// Rows and tile exist and have the steps.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn chunk<const D: u8, const MR: usize>(
    task: &Task<'_>,
    row: usize,
    tile: usize,
    part: Range<usize>,
    stored: &mut [Sums],
) {
    let (x, steps) = inputs::<D>(task);
    debug_assert!(stored.len() == MR && row + MR <= task.x.m && part.end <= steps);
    let mut sums = [[_mm256_setzero_ps(); 2]; MR];
    for (sums, stored) in sums.iter_mut().zip(&*stored) {
        // SAFETY: a register has eight lanes.
        *sums = unsafe { [_mm256_loadu_ps(stored[0].as_ptr()), _mm256_loadu_ps(stored[1].as_ptr())] };
    }
    for step in part {
        // SAFETY: the caller's promise.
        unsafe {
            multiply_add::<D, MR>(weights_at::<D>(task, tile, step), x.add(row * steps + step), steps, &mut sums);
        }
    }
    for (sums, stored) in sums.iter().zip(stored) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_ps(stored[0].as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(stored[1].as_mut_ptr(), sums[1]);
        }
    }
}

/// Where the rows start, and the steps of a row: inputs, or of bf16 pairs of them.
#[inline]
fn inputs<const D: u8>(task: &Task<'_>) -> (*const f32, usize) {
    if D == BF16 {
        (task.x.pairs.values.as_ptr().cast(), task.x.pair_stride())
    } else {
        (task.x.floats.values.as_ptr(), task.x.k)
    }
}

/// The weights of a step.
///
/// # Safety
/// The tile exists and has the step.
#[inline]
unsafe fn weights_at<const D: u8>(task: &Task<'_>, tile: usize, step: usize) -> *const u8 {
    let width = if D == F16 { 2 } else { 4 };
    debug_assert!(tile < task.weights.n_tiles() && (step + 1) * TILE * width <= task.weights.tile_quants);
    // SAFETY: inside of the tile.
    unsafe { task.weights.quants.as_ptr().add(tile * task.weights.tile_quants + step * TILE * width) }
}

/// One step of `MR` rows, `stride` apart.
///
/// # Safety
/// `at` points to the step of a tile, `x` to that of the first row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_add<const D: u8, const MR: usize>(
    at: *const u8,
    x: *const f32,
    stride: usize,
    sums: &mut [[__m256; 2]; MR],
) {
    // SAFETY: the caller's pointers.
    unsafe {
        if D == BF16 {
            let weights = [split(_mm256_loadu_ps(at.cast())), split(_mm256_loadu_ps(at.add(32).cast()))];
            for (i, sums) in sums.iter_mut().enumerate() {
                let (even, odd) = split(_mm256_broadcast_ss(&*x.add(i * stride)));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_fmadd_ps(weights.1, odd, _mm256_fmadd_ps(weights.0, even, *sum));
                }
            }
        } else {
            let weights = if D == F16 {
                [_mm256_cvtph_ps(_mm_loadu_si128(at.cast())), _mm256_cvtph_ps(_mm_loadu_si128(at.add(16).cast()))]
            } else {
                [_mm256_loadu_ps(at.cast()), _mm256_loadu_ps(at.add(32).cast())]
            };
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm256_broadcast_ss(&*x.add(i * stride));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_fmadd_ps(weights, x, *sum);
                }
            }
        }
    }
}

/// The first and the second bf16 of each pair.
#[inline]
#[target_feature(enable = "avx2")]
fn split(pairs: __m256) -> (__m256, __m256) {
    let pairs = _mm256_castps_si256(pairs);
    let odd = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
    (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)), _mm256_castsi256_ps(odd))
}
