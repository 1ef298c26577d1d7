//! Stored blocks as signed bytes with scales and minima, for the types that have no layout of their own.

use super::decode::{half_at, pairs};
use super::repack::SixBits;
use super::{BLOCK, SUPER};
use crate::dtype::Dtype;

/// What nibbles of IQ4_NL and IQ4_XS stand for.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 weights: `scale * quants[i] - minima[i / 16]`.
pub(super) struct Block {
    pub(super) quants: [i8; BLOCK],
    pub(super) scale: f32,
    pub(super) minima: [f32; 2],
}

/// Calls `take` with the number and the contents of every block of a stored row.
pub(super) fn blocks(dtype: Dtype, stored: &[u8], mut take: impl FnMut(usize, Block)) {
    let per_stored = dtype.block_elements() / BLOCK;
    for (index, block) in stored.chunks_exact(dtype.block_bytes()).enumerate() {
        for part in 0..per_stored {
            let contents = match dtype {
                Dtype::Q4_1 => with_minimum(block, nibbles(&block[4..])),
                Dtype::Q5_1 => with_minimum(block, five_bits(&block[4..])),
                Dtype::Q2_K => q2_k(block, part),
                Dtype::Q5_K => q5_k(block, part),
                Dtype::IQ4_XS => iq4_xs(block, part),
                _ => unreachable!("{dtype} has a layout of its own"),
            };
            take(index * per_stored + part, contents);
        }
    }
}

/// Scale and minimum in front.
fn with_minimum(block: &[u8], quants: [u8; BLOCK]) -> Block {
    let minimum = -half_at(block, 2);
    Block { quants: quants.map(u8::cast_signed), scale: half_at(block, 0), minima: [minimum; 2] }
}

/// The scales of its parts are small enough to be multiplied into the quants.
fn q2_k(block: &[u8], part: usize) -> Block {
    let (scale, minimum) = (half_at(block, 80), half_at(block, 82));
    let pair = |half: usize| block[part * 2 + half];
    let quant = |i: usize| (pair(i / 16) & 15) * bit_pair(&block[16..], part * BLOCK + i);
    Block {
        quants: std::array::from_fn(|i| quant(i).cast_signed()),
        scale,
        minima: [0, 1].map(|half| minimum * f32::from(pair(half) >> 4)),
    }
}

fn q5_k(block: &[u8], part: usize) -> Block {
    let (scale, minimum) = pairs(&block[4..16])[part];
    let quant = |i: usize| {
        let nibble = block[48 + part / 2 * 32 + i] >> (part % 2 * 4) & 15;
        nibble | (block[16 + i] >> part & 1) << 4
    };
    Block {
        quants: std::array::from_fn(|i| quant(i).cast_signed()),
        scale: half_at(block, 0) * f32::from(scale),
        minima: [half_at(block, 2) * f32::from(minimum); 2],
    }
}

fn iq4_xs(block: &[u8], part: usize) -> Block {
    let low = block[4 + part / 2] >> (part % 2 * 4) & 15;
    let high = block[2 + part / 4] >> (part % 4 * 2) & 3;
    let scale = half_at(block, 0) * f32::from((low | high << 4).cast_signed() - 32);
    Block { quants: iq4_quants(&block[8 + part * 16..]), scale, minima: [0.0; 2] }
}

/// Numbers for 16 bytes of nibbles.
pub(super) fn iq4_quants(bytes: &[u8]) -> [i8; BLOCK] {
    nibbles(bytes).map(|nibble| IQ4[usize::from(nibble)])
}

pub(super) fn q5_0_quants(block: &[u8; 22]) -> [i8; BLOCK] {
    five_bits(&block[2..]).map(|quant| quant.cast_signed() - 16)
}

/// Three bits and 6-bit scales, as six bits and 8-bit ones.
pub(super) fn q3_k(block: &[u8; 110]) -> SixBits {
    let packed = &block[96..108];
    let scale = |j: usize| (packed[j % 8] >> (j / 8 * 4) & 15) | (packed[8 + j % 4] >> (j / 4 * 2) & 3) << 4;
    let quant = |i: usize| bit_pair(&block[32..], i) | (block[i % 32] >> (i / 32) & 1) << 2;
    SixBits {
        scale: [block[108], block[109]],
        scales: std::array::from_fn(|j| scale(j).cast_signed() - 32),
        // 4 stands for zero in the file, 32 in the layout.
        quants: std::array::from_fn::<_, SUPER, _>(|i| quant(i) + 28),
    }
}

/// 16 bytes of nibbles: the low ones are the first 16.
fn nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| bytes[i % 16] >> (i / 16 * 4) & 15)
}

/// Fifth bits, then nibbles.
fn five_bits(bytes: &[u8]) -> [u8; BLOCK] {
    let low = nibbles(&bytes[4..]);
    std::array::from_fn(|i| low[i] | (bytes[i / 8] >> (i % 8) & 1) << 4)
}

/// Element `i` of 256 pairs of bits: of 32 bytes each, the lowest first.
fn bit_pair(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
}
