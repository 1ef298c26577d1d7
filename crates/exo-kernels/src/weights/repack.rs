//! Stored rows into tiles; see [`super::Weights`] for the layout.

use super::decode::{pairs as scale_pairs, q4_k_quants, q6_k_quants};
use super::int8;
use super::{BLOCK, INT8_META, SUPER, TILE};
use crate::dtype::{Dtype, Layout};

/// Bytes of meta per tile and super-block: `Q4_K` has 8 x 16 scales, 8 x 16 minima, 16 half scales and 16 half minima;
/// `Q6_K` 16 x 16 scales, 16 half scales, and nothing in the rest.
pub(crate) const SUPER_META: usize = 320;
/// Bytes of quants per tile and block.
pub(crate) const Q8_QUANTS: usize = BLOCK * TILE;
pub(crate) const Q4_QUANTS: usize = BLOCK * TILE / 2;
pub(crate) const Q6_QUANTS: usize = SUPER * TILE * 3 / 4;
/// Bytes of quants per tile and 64 inputs of `Q6_K`.
pub(crate) const Q6_CHUNK: usize = Q6_QUANTS / 4;

/// Bytes of quants and of meta per tile.
pub(super) fn tile_sizes(layout: Layout, k: usize) -> (usize, usize) {
    match layout {
        Layout::F32 => (k * TILE * 4, 0),
        Layout::F16 => (k * TILE * 2, 0),
        Layout::BF16 => (k.next_multiple_of(2) * TILE * 2, 0),
        Layout::Q4_0 => (k / BLOCK * Q4_QUANTS, k / BLOCK * TILE * 2),
        Layout::Q8_0 => (k / BLOCK * Q8_QUANTS, k / BLOCK * TILE * 2),
        Layout::Q4_K => (k / BLOCK * Q4_QUANTS, k / SUPER * SUPER_META),
        Layout::Q6_K => (k / SUPER * Q6_QUANTS, k / SUPER * SUPER_META),
        Layout::Int8 => (k / BLOCK * Q8_QUANTS, k / BLOCK * INT8_META),
        Layout::Mxfp4 => (k / BLOCK * Q4_QUANTS, k / BLOCK * TILE),
    }
}

/// Puts one stored row into lane `lane` of its tile.
pub(super) fn row(dtype: Dtype, stored: &[u8], lane: usize, quants: &mut [u8], meta: &mut [u8]) {
    match dtype {
        Dtype::F32 => spread::<4>(stored, lane, quants),
        Dtype::F16 => spread::<2>(stored, lane, quants),
        Dtype::BF16 => pairs(stored, lane, quants),
        Dtype::Q4_0 => q4_0(stored, lane, quants, meta),
        Dtype::Q5_0 => bytes::<22>(stored, lane, quants, meta, int8::q5_0_quants),
        Dtype::Q8_0 => {
            bytes::<34>(stored, lane, quants, meta, |block| std::array::from_fn(|i| block[2 + i].cast_signed()))
        }
        Dtype::IQ4_NL => bytes::<18>(stored, lane, quants, meta, |block| int8::iq4_quants(&block[2..])),
        Dtype::Q3_K => six_bits::<110>(stored, lane, quants, meta, int8::q3_k),
        Dtype::Q4_K => q4_k(stored, lane, quants, meta),
        Dtype::Q6_K => six_bits::<210>(stored, lane, quants, meta, |block| SixBits {
            scale: [block[208], block[209]],
            scales: std::array::from_fn(|i| block[192 + i].cast_signed()),
            quants: q6_k_quants(block),
        }),
        Dtype::MXFP4 => mxfp4(stored, lane, quants, meta),
        Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q2_K | Dtype::Q5_K | Dtype::IQ4_XS => {
            int8::blocks(dtype, stored, |index, block| put_int8(&block, index, lane, quants, meta));
        }
    }
}

fn spread<const WIDTH: usize>(stored: &[u8], lane: usize, quants: &mut [u8]) {
    for (i, number) in stored.as_chunks::<WIDTH>().0.iter().enumerate() {
        quants[(i * TILE + lane) * WIDTH..][..WIDTH].copy_from_slice(number);
    }
}

fn pairs(stored: &[u8], lane: usize, quants: &mut [u8]) {
    // A last single input stays paired with the zero that is there.
    for (i, pair) in stored.chunks(4).enumerate() {
        quants[(i * TILE + lane) * 4..][..pair.len()].copy_from_slice(pair);
    }
}

/// The four bytes of a lane in a vector of 16 lanes.
fn group(vector: &mut [u8], index: usize, lane: usize) -> &mut [u8; 4] {
    let bytes = &mut vector[(index * TILE + lane) * 4..][..4];
    bytes.try_into().expect("four bytes were cut")
}

fn half_lane(meta: &mut [u8], lane: usize, stored: &[u8]) {
    meta[lane * 2..][..2].copy_from_slice(&stored[..2]);
}

/// Blocks of 32 signed bytes with a half scale in front.
fn bytes<const BYTES: usize>(
    stored: &[u8],
    lane: usize,
    quants: &mut [u8],
    meta: &mut [u8],
    read: impl Fn(&[u8; BYTES]) -> [i8; BLOCK],
) {
    let (quants, meta) = (quants.chunks_exact_mut(Q8_QUANTS), meta.chunks_exact_mut(TILE * 2));
    for ((block, quants), meta) in stored.as_chunks::<BYTES>().0.iter().zip(quants).zip(meta) {
        half_lane(meta, lane, block);
        put_bytes(&read(block), lane, quants);
    }
}

fn put_bytes(values: &[i8; BLOCK], lane: usize, quants: &mut [u8]) {
    for (g, four) in values.as_chunks::<4>().0.iter().enumerate() {
        // Adds 128: the multiply instruction takes unsigned weights.
        *group(quants, g, lane) = four.map(|value| value.cast_unsigned() ^ 0x80);
    }
}

fn put_int8(block: &int8::Block, index: usize, lane: usize, quants: &mut [u8], meta: &mut [u8]) {
    put_bytes(&block.quants, lane, &mut quants[index * Q8_QUANTS..][..Q8_QUANTS]);
    let meta = &mut meta[index * INT8_META..][..INT8_META];
    for (part, number) in [block.scale, block.minima[0], block.minima[1]].into_iter().enumerate() {
        meta[(part * TILE + lane) * 4..][..4].copy_from_slice(&number.to_le_bytes());
    }
}

fn mxfp4(stored: &[u8], lane: usize, quants: &mut [u8], meta: &mut [u8]) {
    let (quants, meta) = (quants.chunks_exact_mut(Q4_QUANTS), meta.chunks_exact_mut(TILE));
    for ((block, quants), meta) in stored.as_chunks::<17>().0.iter().zip(quants).zip(meta) {
        meta[lane] = block[0];
        for (g, four) in block[1..].as_chunks::<4>().0.iter().enumerate() {
            *group(quants, g, lane) = *four;
        }
    }
}

fn q4_0(stored: &[u8], lane: usize, quants: &mut [u8], meta: &mut [u8]) {
    let (quants, meta) = (quants.chunks_exact_mut(Q4_QUANTS), meta.chunks_exact_mut(TILE * 2));
    for ((block, quants), meta) in stored.as_chunks::<18>().0.iter().zip(quants).zip(meta) {
        half_lane(meta, lane, block);
        // The file pairs inputs i and i + 16 in a byte, as the tiles do.
        for (g, four) in block[2..].as_chunks::<4>().0.iter().enumerate() {
            *group(quants, g, lane) = *four;
        }
    }
}

fn q4_k(stored: &[u8], lane: usize, quants: &mut [u8], meta: &mut [u8]) {
    let (quants, meta) = (quants.chunks_exact_mut(8 * Q4_QUANTS), meta.chunks_exact_mut(SUPER_META));
    for ((block, quants), meta) in stored.as_chunks::<144>().0.iter().zip(quants).zip(meta) {
        for (sub, (scale, minimum)) in scale_pairs(&block[4..16]).into_iter().enumerate() {
            meta[sub * TILE + lane] = scale;
            meta[128 + sub * TILE + lane] = minimum;
        }
        half_lane(&mut meta[256..], lane, block);
        half_lane(&mut meta[288..], lane, &block[2..]);
        let values = q4_k_quants(block);
        for (values, quants) in values.as_chunks::<32>().0.iter().zip(quants.chunks_exact_mut(Q4_QUANTS)) {
            for g in 0..4 {
                *group(quants, g, lane) = std::array::from_fn(|j| values[g * 4 + j] | values[16 + g * 4 + j] << 4);
            }
        }
    }
}

/// What a block of the `Q6_K` layout takes.
pub(super) struct SixBits {
    /// A half.
    pub(super) scale: [u8; 2],
    /// Of 16 inputs each.
    pub(super) scales: [i8; 16],
    /// 32 stands for zero.
    pub(super) quants: [u8; SUPER],
}

fn six_bits<const BYTES: usize>(
    stored: &[u8],
    lane: usize,
    quants: &mut [u8],
    meta: &mut [u8],
    read: impl Fn(&[u8; BYTES]) -> SixBits,
) {
    let (quants, meta) = (quants.chunks_exact_mut(Q6_QUANTS), meta.chunks_exact_mut(SUPER_META));
    for ((block, quants), meta) in stored.as_chunks::<BYTES>().0.iter().zip(quants).zip(meta) {
        let block = read(block);
        for (sub, &scale) in block.scales.iter().enumerate() {
            meta[sub * TILE + lane] = scale.cast_unsigned();
        }
        half_lane(&mut meta[256..], lane, &block.scale);
        for (values, quants) in block.quants.as_chunks::<64>().0.iter().zip(quants.chunks_exact_mut(Q6_CHUNK)) {
            q6_chunk(values, lane, quants);
        }
    }
}

/// 64 inputs: eight vectors of low nibbles (inputs `4g..` below, `32 + 4g..` above), four of high bit pairs (of inputs
/// `4g..`, `16 + 4g..`, `32 + 4g..`, `48 + 4g..` from the lowest bits up).
fn q6_chunk(values: &[u8; 64], lane: usize, quants: &mut [u8]) {
    for g in 0..8 {
        let nibbles = |j: usize| values[g * 4 + j] & 15 | (values[32 + g * 4 + j] & 15) << 4;
        *group(quants, g, lane) = std::array::from_fn(nibbles);
    }
    for g in 0..4 {
        let high = |i: usize| values[i] >> 4;
        let bits = |i: usize| high(i) | high(i + 16) << 2 | high(i + 32) << 4 | high(i + 48) << 6;
        *group(&mut quants[512..], g, lane) = std::array::from_fn(|j| bits(g * 4 + j));
    }
}
