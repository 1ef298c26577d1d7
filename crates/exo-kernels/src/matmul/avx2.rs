//! Products with AVX2 and FMA.
//!
//! The same tiles as for AVX-512, in two registers of eight outputs; the same sequence of operations per output, and so
//! the same bits, but for bf16.

mod floats;
mod panels;
mod quants;
mod rows;

use std::arch::x86_64::*;
use std::ops::Range;

use super::Task;
use crate::activations::Format;
use crate::dtype::Layout;
use crate::weights::TILE;

/// Outputs per register.
const LANES: usize = 8;

/// All rows of some tiles.
///
/// # Safety
/// No other thread has these tiles.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tiles(task: &Task<'_>, tiles: Range<usize>) {
    // SAFETY: passed on.
    unsafe {
        match task.weights.layout() {
            Layout::F32 => floats::tiles::<{ floats::F32 }>(task, tiles),
            Layout::F16 => floats::tiles::<{ floats::F16 }>(task, tiles),
            Layout::BF16 => floats::tiles::<{ floats::BF16 }>(task, tiles),
            Layout::Q8_0 => quantised::<{ quants::Q8_0 }>(task, tiles),
            Layout::Q4_0 => quantised::<{ quants::Q4_0 }>(task, tiles),
            Layout::Q4_K => quantised::<{ quants::Q4_K }>(task, tiles),
            Layout::Q6_K => quantised::<{ quants::Q6_K }>(task, tiles),
            Layout::Int8 => quantised::<{ quants::INT8 }>(task, tiles),
            Layout::Mxfp4 => quantised::<{ quants::MXFP4 }>(task, tiles),
        }
    }
}

/// Several rows stand in panels, a single one does not; where panels are made for tile registers, a few last ones do not.
///
/// # Safety
/// As [`tiles`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quantised<const D: u8>(task: &Task<'_>, tiles: Range<usize>) {
    debug_assert!(task.weights.format() == Format::Q8);
    // SAFETY: passed on.
    unsafe {
        panels::tiles::<D>(task, tiles.clone());
        rows::tiles::<D>(task, tiles, task.panel_rows());
    }
}

/// Hands over the sums of a tile for a row.
///
/// # Safety
/// No other thread has this row and tile.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn finish(task: &Task<'_>, row: usize, tile: usize, sums: [__m256; 2]) {
    let mut lanes = [0.0; TILE];
    // SAFETY: there are sixteen lanes; the outputs are the caller's.
    unsafe {
        _mm256_storeu_ps(lanes.as_mut_ptr(), sums[0]);
        _mm256_storeu_ps(lanes.as_mut_ptr().add(LANES), sums[1]);
        task.finish(row, tile * TILE, &lanes);
    }
}
