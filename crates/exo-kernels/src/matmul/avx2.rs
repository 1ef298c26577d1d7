//! Products with AVX2 and FMA.
//!
//! The same tiles as for AVX-512, taken as two halves of eight outputs; the same sequence of operations per output, and
//! so the same bits, but for bf16.

mod floats;
mod quants;

use std::arch::x86_64::*;
use std::ops::Range;

use super::Task;
use crate::activations::Format;
use crate::dtype::Dtype;
use crate::weights::TILE;

/// Outputs per register.
const LANES: usize = 8;

/// All rows of some tiles.
///
/// # Safety
/// No other thread has these tiles.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tiles(task: &Task<'_>, tiles: Range<usize>) {
    for tile in tiles {
        for first_lane in [0, LANES] {
            let mut row = 0;
            while row < task.x.m {
                let rest = task.x.m - row;
                // SAFETY: passed on; there are as many rows left.
                row += unsafe {
                    match rest {
                        // A float kernel needs no register but its sums, and eight of them hide how long one takes.
                        8.. if task.weights.format() != Format::Q8 => rows::<8>(task, tile, first_lane, row),
                        4.. => rows::<4>(task, tile, first_lane, row),
                        3 => rows::<3>(task, tile, first_lane, row),
                        2 => rows::<2>(task, tile, first_lane, row),
                        _ => rows::<1>(task, tile, first_lane, row),
                    }
                };
            }
        }
    }
}

/// `MR` rows of half a tile; how many they are.
///
/// # Safety
/// They exist, and no other thread has them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows<const MR: usize>(task: &Task<'_>, tile: usize, first_lane: usize, row: usize) -> usize {
    // SAFETY: passed on.
    let sums = unsafe {
        match task.weights.dtype {
            Dtype::F32 => floats::kernel::<{ floats::F32 }, MR>(task, tile, first_lane, row),
            Dtype::F16 => floats::kernel::<{ floats::F16 }, MR>(task, tile, first_lane, row),
            Dtype::BF16 => floats::kernel::<{ floats::BF16 }, MR>(task, tile, first_lane, row),
            Dtype::Q8_0 => quants::kernel::<{ quants::Q8_0 }, MR>(task, tile, first_lane, row),
            Dtype::Q4_0 => quants::kernel::<{ quants::Q4_0 }, MR>(task, tile, first_lane, row),
            Dtype::Q4_K => quants::kernel::<{ quants::Q4_K }, MR>(task, tile, first_lane, row),
            Dtype::Q6_K => quants::kernel::<{ quants::Q6_K }, MR>(task, tile, first_lane, row),
        }
    };
    let mut lanes = [0.0; LANES];
    for (i, sums) in sums.into_iter().enumerate() {
        // SAFETY: eight lanes; the outputs are the caller's.
        unsafe {
            _mm256_storeu_ps(lanes.as_mut_ptr(), sums);
            task.finish(row + i, tile * TILE + first_lane, &lanes);
        }
    }
    MR
}
