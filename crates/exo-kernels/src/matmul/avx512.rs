//! Products with AVX-512 (VNNI for quantised, BF16 for bf16 weights).
//!
//! One kernel computes `MR` rows by `NT` tiles in registers. Whatever `MR` and `NT` are, each output is the same
//! sequence of operations, so they only decide how fast it is.

mod floats;
pub(super) mod quants;

use std::arch::x86_64::*;
use std::ops::Range;

use super::Task;
use crate::dtype::Layout;
use crate::weights::TILE;

/// Calls `$call` for all rows behind `$from`, in groups of `$most` and one smaller group.
macro_rules! row_groups {
    ($task:expr, $from:expr, $most:literal, [$($rest:literal),*], |$mr:ident, $first:ident| $call:expr) => {{
        let m = $task.x.m;
        let mut $first = $from;
        while $first + $most <= m {
            const $mr: usize = $most;
            $call;
            $first += $most;
        }
        match m - $first {
            $($rest => {
                const $mr: usize = $rest;
                $call;
            })*
            _ => {}
        }
    }};
}
pub(super) use row_groups;

/// All rows of some tiles, from row `from` on.
///
/// # Safety
/// No other thread has these tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn tiles(task: &Task<'_>, tiles: Range<usize>, from: usize) {
    // SAFETY: passed on.
    unsafe {
        match task.weights.layout() {
            Layout::F32 | Layout::F16 | Layout::BF16 => floats::tiles(task, tiles, from),
            Layout::Q8_0 => quants::tiles::<{ quants::Q8_0 }>(task, tiles, from),
            Layout::Q4_0 => quants::tiles::<{ quants::Q4_0 }>(task, tiles, from),
            Layout::Q4_K => quants::tiles::<{ quants::Q4_K }>(task, tiles, from),
            Layout::Q6_K => quants::tiles::<{ quants::Q6_K }>(task, tiles, from),
            Layout::Int8 | Layout::Mxfp4 => unreachable!("the kernels of AVX2 take these"),
        }
    }
}

/// Stores the sums of a tile for a row; a last tile only has the lanes that are outputs.
///
/// # Safety
/// No other thread has this row and tile.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn finish(task: &Task<'_>, row: usize, tile: usize, sums: __m512) {
    let n = task.weights.n;
    let lanes = TILE.min(n - tile * TILE);
    let mask = (((1u32 << lanes) - 1) & 0xffff) as __mmask16;
    debug_assert!(row < task.x.m);
    let out = task.out.at(row * n + tile * TILE);
    // SAFETY: the masked lanes lie in the row, and belong to this thread.
    unsafe {
        let sums = if task.add { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sums) } else { sums };
        _mm512_mask_storeu_ps(out, mask, sums);
    }
}
