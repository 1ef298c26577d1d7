//! Products with AMX tiles, for many rows of quantised weights.
//!
//! A tile instruction multiplies 16 rows by 16 outputs over the inputs of one scale; the integer sums are exact, and are
//! scaled and added in the same sequence as in the AVX-512 kernels. So both give the same bits, and which one computes a
//! row is a matter of speed only.

mod system;
mod tile;
mod unpack;

use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

pub(crate) use system::is_available;

use self::tile::{Shape, TileUnit};
use self::unpack::Strip;
use super::Task;
use super::avx512::finish;
use crate::activations::PANEL;
use crate::dtype::Layout;
use crate::weights::{BLOCK, SUPER, TILE};

/// Inputs unpacked at a time: [`GROUP`] tiles of them stay in the second-level cache, one and a panel in the first.
const STEP: usize = 512;
/// Tiles unpacked at a time: a row's results are then written in pieces long enough for the memory.
const GROUP: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Per thread: unpacked weights of a group of tiles, and the sums of all panels with them.
#[derive(Default)]
struct Scratch {
    strips: Vec<Strip>,
    /// Per panel, tile of the group, and row.
    sums: Vec<[__m512; PANEL]>,
}

/// All rows that are in panels, of some tiles.
///
/// # Safety
/// This machine has AMX (see [`is_available`]), and no other thread has these tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn tiles(task: &Task<'_>, tiles: Range<usize>) {
    let shape = if task.weights.layout() == Layout::Q6_K { Shape::Half } else { Shape::Whole };
    SCRATCH.with_borrow_mut(|scratch| {
        // SAFETY: passed on; the unit is released when it is dropped.
        let mut unit = unsafe { TileUnit::new(shape) };
        for first in tiles.clone().step_by(GROUP) {
            // SAFETY: passed on.
            unsafe { group(task, &mut unit, scratch, first..tiles.end.min(first + GROUP)) };
        }
    });
}

/// # Safety
/// As [`tiles`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn group(task: &Task<'_>, unit: &mut TileUnit, scratch: &mut Scratch, tiles: Range<usize>) {
    let n_panels = task.x.quants.panels.n_panels();
    let n_tiles = tiles.len();
    scratch.strips.resize_with(GROUP, || Strip::new());
    scratch.sums.clear();
    scratch.sums.resize(n_panels * n_tiles, [_mm512_setzero_ps(); PANEL]);
    for start in (0..task.x.k).step_by(STEP) {
        let blocks = start / BLOCK..task.x.k.min(start + STEP) / BLOCK;
        for (strip, tile) in scratch.strips.iter_mut().zip(tiles.clone()) {
            // SAFETY: the tile has these blocks.
            unsafe { strip.unpack(task.weights, tile, blocks.clone()) };
        }
        for panel in 0..n_panels {
            for (strip, sums) in scratch.strips.iter().zip(&mut scratch.sums[panel * n_tiles..][..n_tiles]) {
                let panel = task.x.quants.panels.blocks(panel, blocks.clone());
                // SAFETY: the unit was set up for the strip's type.
                unsafe { unit.multiply(task.weights.layout(), strip, &panel, sums) };
            }
        }
    }
    for (panel, sums) in scratch.sums.chunks_exact(n_tiles).enumerate() {
        let first = panel * PANEL;
        for row in first..task.x.quants.panels.rows.min(first + PANEL) {
            for (tile, sums) in tiles.clone().zip(sums) {
                // SAFETY: passed on.
                unsafe { finish(task, row, tile, sums[row - first]) };
            }
        }
    }
}

const _: () = assert!(STEP.is_multiple_of(SUPER) && TILE == PANEL);
