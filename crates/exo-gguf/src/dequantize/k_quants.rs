//! Blocks of 256 whose parts have scales (and minima) of their own, as multiples of the block's.

use super::f16_at;

/// Sixteen bytes with a 4-bit scale and a 4-bit minimum for 16 elements each, 64 bytes of bit pairs, scale, minimum.
pub(super) fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scale, minimum) = (f16_at(block, 80), f16_at(block, 82));
    for (i, out) in out.iter_mut().enumerate() {
        let pair = block[i / 16];
        let (d, m) = (scale * f32::from(pair & 15), minimum * f32::from(pair >> 4));
        *out = d * f32::from(bit_pair(&block[16..], i)) - m;
    }
}

/// 32 bytes of third bits, 64 bytes of bit pairs, sixteen 6-bit scales (32 stands for zero), scale. Where the third bit is
/// not set, 4 is taken off.
pub(super) fn q3_k(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 108);
    for (i, out) in out.iter_mut().enumerate() {
        let third = block[i % 32] >> (i / 32) & 1;
        let quant = i32::from(bit_pair(&block[32..], i) | third << 2) - 4;
        let sub_scale = i32::from(six_bit_scale(&block[96..], i / 16)) - 32;
        *out = scale * sub_scale as f32 * quant as f32;
    }
}

/// Scale and minimum of the block, eight 6-bit pairs, 128 bytes of nibbles: of 32 bytes each, the low ones first.
pub(super) fn q4_k(block: &[u8], out: &mut [f32]) {
    with_pairs(block, out, |i| nibble(&block[16..], i));
}

/// As Q4_K, with 32 bytes of fifth bits before the nibbles: one bit of each byte for each 32 elements.
pub(super) fn q5_k(block: &[u8], out: &mut [f32]) {
    with_pairs(block, out, |i| nibble(&block[48..], i) | (block[16 + i % 32] >> (i / 32) & 1) << 4);
}

/// 128 bytes of low nibbles, 64 of high bit pairs, 16 signed sub-scales (one per 16 elements), scale.
pub(super) fn q6_k(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 208);
    for (i, out) in out.iter_mut().enumerate() {
        let (half, quarter, lane) = (i / 128, i % 128 / 32, i % 32);
        let low = block[half * 64 + quarter % 2 * 32 + lane] >> (quarter / 2 * 4) & 15;
        let quant = i32::from(low | bit_pair(&block[128..], i) << 4) - 32;
        *out = scale * f32::from(block[192 + i / 16] as i8) * quant as f32;
    }
}

/// The eight 6-bit (scale, minimum) pairs of a Q4_K block, from its 12 packed bytes.
pub(crate) fn pairs(packed: &[u8]) -> [(u8, u8); 8] {
    std::array::from_fn(|j| match j {
        0..4 => (packed[j] & 63, packed[j + 4] & 63),
        _ => ((packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4), (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4)),
    })
}

fn with_pairs(block: &[u8], out: &mut [f32], quant: impl Fn(usize) -> u8) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    let pairs = pairs(&block[4..16]);
    for (i, out) in out.iter_mut().enumerate() {
        let (sub_scale, sub_minimum) = pairs[i / 32];
        *out = scale * f32::from(sub_scale) * f32::from(quant(i)) - minimum * f32::from(sub_minimum);
    }
}

/// Element `i` of 256 nibbles: of 32 bytes each, the low ones first.
fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15
}

/// Element `i` of 256 bit pairs: of 32 bytes each, the lowest first.
fn bit_pair(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
}

/// Scale `j` of sixteen: low halves in the nibbles of eight bytes (the low ones first), upper pairs of bits in four more.
fn six_bit_scale(packed: &[u8], j: usize) -> u8 {
    let low = packed[j % 8] >> (j / 8 * 4) & 15;
    low | (packed[8 + j % 4] >> (j / 4 * 2) & 3) << 4
}
