//! Packed weights to signed bytes and float scales.

use std::arch::x86_64::*;
use std::ops::Range;

use super::STEP;
use crate::dtype::Layout;
use crate::matmul::avx512::quants::{self, Q4_K, Q6_K, Q8_0};
use crate::weights::{BLOCK, TILE, Weights};

/// Blocks per strip.
const BLOCKS: usize = STEP / BLOCK;

/// The unpacked weights of one tile over up to [`STEP`] inputs.
pub(super) struct Strip {
    /// Per block: eight vectors of 16 groups of four signed weights.
    pub(super) weights: Box<[Aligned; BLOCKS]>,
    /// Per block, of `Q6_K` per half of one.
    pub(super) scales: [__m512; BLOCKS * 2],
    /// Per block, of `Q4_K`.
    pub(super) minima: [__m512; BLOCKS],
}

/// The weights of a block, each vector in one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Aligned([i8; BLOCK * TILE]);

impl Aligned {
    pub(super) fn as_ptr(&self) -> *const i8 {
        self.0.as_ptr()
    }
}

impl Strip {
    #[target_feature(enable = "avx512f")]
    pub(super) fn new() -> Self {
        let zero = _mm512_setzero_ps();
        Self {
            weights: Box::new([Aligned([0; BLOCK * TILE]); BLOCKS]),
            scales: [zero; BLOCKS * 2],
            minima: [zero; BLOCKS],
        }
    }

    /// # Safety
    /// The tile and the blocks exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) unsafe fn unpack(&mut self, weights: &Weights, tile: usize, blocks: Range<usize>) {
        // SAFETY: passed on.
        unsafe {
            match weights.layout() {
                Layout::Q8_0 => self.whole::<{ Q8_0 }>(weights, tile, blocks),
                Layout::Q4_0 => self.whole::<{ quants::Q4_0 }>(weights, tile, blocks),
                Layout::Q4_K => self.whole::<{ Q4_K }>(weights, tile, blocks),
                _ => self.halves(weights, tile, blocks),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn whole<const D: u8>(&mut self, weights: &Weights, tile: usize, blocks: Range<usize>) {
        let bytes_per_block = if D == Q8_0 { 512 } else { 256 };
        let (quants, meta) = (weights.quants_of(tile).as_ptr(), weights.meta_of(tile).as_ptr());
        for (index, block) in blocks.enumerate() {
            // SAFETY: the tile has the block.
            unsafe {
                for g in 0..4 {
                    let (low, high) = quants::groups::<D>(quants.add(block * bytes_per_block), g);
                    self.store(index, g, quants::signed::<D>(low));
                    self.store(index, g + 4, quants::signed::<D>(high));
                }
                (self.scales[index], self.minima[index]) = quants::scales::<D>(meta, block);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn halves(&mut self, weights: &Weights, tile: usize, blocks: Range<usize>) {
        let (quants, meta) = (weights.quants_of(tile).as_ptr(), weights.meta_of(tile).as_ptr());
        for (index, block) in blocks.enumerate() {
            // SAFETY: the tile has the block, and so the chunk that it is half of.
            unsafe {
                let chunk = quants.add(block / 2 * 768);
                for g in 0..4 {
                    let (first, second) = if block % 2 == 0 {
                        (quants::six_bits::<false, false>(chunk, g), quants::six_bits::<false, true>(chunk, g))
                    } else {
                        (quants::six_bits::<true, false>(chunk, g), quants::six_bits::<true, true>(chunk, g))
                    };
                    self.store(index, g, quants::signed::<Q6_K>(first));
                    self.store(index, g + 4, quants::signed::<Q6_K>(second));
                }
                for half in 0..2 {
                    self.scales[index * 2 + half] = quants::half_scale(meta, block * 2 + half);
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(&mut self, block: usize, group: usize, vector: __m512i) {
        let at = &mut self.weights[block].0[group * 64..][..64];
        // SAFETY: `at` has 64 bytes.
        unsafe { _mm512_storeu_si512(at.as_mut_ptr().cast(), vector) };
    }
}
