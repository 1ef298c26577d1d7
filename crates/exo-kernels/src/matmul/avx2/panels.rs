//! Many rows and quantised weights: a panel of rows at a time, each block unpacked once for all of them.
//!
//! Four rows by a tile fill the registers with sums of a block; the sums over blocks stay in memory, close by.

use std::arch::x86_64::*;
use std::ops::Range;

use super::quants::{
    INT8, Q4_K, Q6_K, Source, Tile, VECTORS, add_scaled, dots, half_minima, minima, scales, take_off, unpack,
    without_offset,
};
use super::{LANES, finish};
use crate::activations::{PANEL, PanelBlocks};
use crate::matmul::Task;
use crate::weights::BLOCK;

/// Rows whose sums fit into registers.
const ROWS: usize = 4;

/// The sums of a panel, row by row.
type Sums = [[[f32; LANES]; 2]; PANEL];

/// A block of a tile, ready for use.
struct Block {
    vectors: [Tile; VECTORS],
    /// Of the block, or of `Q6_K` of its halves.
    scales: [[__m256; 2]; 2],
    /// Of the block (`Q4_K`), or of its halves.
    minima: [[__m256; 2]; 2],
}

/// All rows of some tiles.
///
/// # Safety
/// No other thread has these tiles.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tiles<const D: u8>(task: &Task<'_>, tiles: Range<usize>) {
    let panels = &task.x.quants.panels;
    for panel in 0..panels.n_panels() {
        let rows = PANEL.min(panels.rows - panel * PANEL);
        let blocks = panels.blocks(panel, 0..task.x.k / BLOCK);
        for tile in tiles.clone() {
            // SAFETY: panel and tile exist; the tile is the caller's.
            unsafe { kernel::<D>(task, &blocks, panel * PANEL, rows, tile) };
        }
    }
}

/// `rows` rows of a panel, from `row` on, by a tile.
///
/// # Safety
/// Rows and tile exist, and no other thread has them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn kernel<const D: u8>(task: &Task<'_>, x: &PanelBlocks<'_>, row: usize, rows: usize, tile: usize) {
    let (quants, meta) = (task.weights.quants_of(tile).as_ptr(), task.weights.meta_of(tile).as_ptr());
    let mut sums: Sums = [[[0.0; LANES]; 2]; PANEL];
    for block in 0..x.bytes.len() {
        // SAFETY: the tile and the panel have as many blocks.
        unsafe {
            let unpacked = prepare::<D>(quants, meta, block);
            for first in (0..rows).step_by(ROWS) {
                add_rows::<D, false>(&unpacked, x, block, first, &mut sums);
                if D == Q6_K {
                    add_rows::<D, true>(&unpacked, x, block, first, &mut sums);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate().take(rows) {
        // SAFETY: two registers; the row is the caller's.
        unsafe { finish(task, row + i, tile, sums.map(|half| _mm256_loadu_ps(half.as_ptr()))) };
    }
}

/// # Safety
/// The tile has the block.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn prepare<const D: u8>(quants: *const u8, meta: *const u8, block: usize) -> Block {
    let zero = [_mm256_setzero_ps(); 2];
    let mut vectors = [[_mm256_setzero_si256(); 2]; VECTORS];
    // SAFETY: passed on.
    unsafe {
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = unpack::<D>(quants, block, v);
        }
        let second = if D == Q6_K { scales::<D, true>(meta, block) } else { zero };
        Block {
            vectors,
            scales: [scales::<D, false>(meta, block), second],
            minima: match D {
                Q4_K => [minima(meta, block), zero],
                INT8 => half_minima(meta, block),
                _ => [zero; 2],
            },
        }
    }
}

/// Adds a block (of `Q6_K` its first or `SECOND` half) of four rows; behind the last row there may be some whose sums
/// nobody reads.
///
/// # Safety
/// The panel has the block and the rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_rows<const D: u8, const SECOND: bool>(
    weights: &Block,
    x: &PanelBlocks<'_>,
    block: usize,
    first: usize,
    sums: &mut Sums,
) {
    let half = usize::from(SECOND);
    // SAFETY: the panel has the block, and `first` is one of its groups of four.
    unsafe {
        let bytes = x.bytes.get_unchecked(block).as_ptr().add(first * BLOCK);
        let (scales, scaled_sums) = (x.scales.get_unchecked(block), x.scaled_sums.get_unchecked(block));
        let offsets = if D == Q6_K { &x.half_sums.get_unchecked(block)[half] } else { x.sums.get_unchecked(block) };
        let dots = dots::<D, SECOND, ROWS>(Source::Unpacked(&weights.vectors), bytes);
        for (i, dots) in dots.into_iter().enumerate() {
            let row = first + i;
            let at = sums.get_unchecked_mut(row);
            let mut sums = [_mm256_loadu_ps(at[0].as_ptr()), _mm256_loadu_ps(at[1].as_ptr())];
            let dots = without_offset::<D>(dots, *offsets.get_unchecked(row));
            sums = add_scaled(sums, dots, weights.scales[half], _mm256_set1_ps(*scales.get_unchecked(row)));
            if D == Q4_K {
                sums = take_off(sums, weights.minima[0], _mm256_set1_ps(*scaled_sums.get_unchecked(row)));
            }
            if D == INT8 {
                for (half, minima) in weights.minima.into_iter().enumerate() {
                    let sum = x.half_sums.get_unchecked(block)[half].get_unchecked(row);
                    let scaled_sum = *scales.get_unchecked(row) * *sum as f32;
                    sums = take_off(sums, minima, _mm256_set1_ps(scaled_sum));
                }
            }
            _mm256_storeu_ps(at[0].as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(at[1].as_mut_ptr(), sums[1]);
        }
    }
}
