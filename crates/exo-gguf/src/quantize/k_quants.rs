//! Blocks of 256 whose parts have scales (and minima) of their own, as multiples of the block's.

use half::f16;

use super::{inverse, largest, put_f16, range};

pub(super) fn q2_k(block: &[f32], out: &mut Vec<u8>) {
    let fit = Fit::<16>::new(block, 3.0, 15.0);
    let quants = fit.quants(block, 3.0);
    out.extend(fit.pairs.map(|(d, m)| d | m << 4));
    out.extend(bit_pairs(&quants));
    put_f16(out, fit.scale);
    put_f16(out, fit.minimum);
}

pub(super) fn q3_k(block: &[f32], out: &mut Vec<u8>) {
    let (scale, sub_scales) = signed_scales(block, 4.0, 31.0);
    let quants = signed_quants(block, scale, &sub_scales, 4);
    let third = |i: usize| (0..8).fold(0, |bits, j| bits | (quants[j * 32 + i] >> 2) << j);
    out.extend((0..32).map(third));
    out.extend(bit_pairs(&quants));
    let six = sub_scales.map(|d| (d + 32) as u8);
    out.extend((0..8).map(|j| (six[j] & 15) | (six[j + 8] & 15) << 4));
    out.extend((0..4).map(|j| (0..4).fold(0, |bits, part| bits | (six[part * 4 + j] >> 4) << (part * 2))));
    out.extend(scale.to_le_bytes());
}

pub(super) fn q4_k(block: &[f32], out: &mut Vec<u8>) {
    let fit = Fit::<8>::new(block, 15.0, 63.0);
    let quants = fit.quants(block, 15.0);
    fit.put(out);
    out.extend(nibbles(&quants));
}

pub(super) fn q5_k(block: &[f32], out: &mut Vec<u8>) {
    let fit = Fit::<8>::new(block, 31.0, 63.0);
    let quants = fit.quants(block, 31.0);
    fit.put(out);
    out.extend((0..32).map(|i| (0..8).fold(0, |bits, j| bits | (quants[j * 32 + i] >> 4) << j)));
    out.extend(nibbles(&quants));
}

pub(super) fn q6_k(block: &[f32], out: &mut Vec<u8>) {
    let (scale, sub_scales) = signed_scales(block, 32.0, 127.0);
    let quants = signed_quants(block, scale, &sub_scales, 32);
    let halves = quants.as_chunks::<128>().0;
    for half in halves {
        out.extend((0..64).map(|i| (half[i] & 15) | (half[i + 64] & 15) << 4));
    }
    for half in halves {
        let high = |i: usize| half[i] >> 4;
        out.extend((0..32).map(|i| high(i) | high(i + 32) << 2 | high(i + 64) << 4 | high(i + 96) << 6));
    }
    out.extend(sub_scales.map(|d| d as u8));
    out.extend(scale.to_le_bytes());
}

/// Scale and minimum of a block, and of its `N` parts as multiples of them.
struct Fit<const N: usize> {
    scale: f32,
    minimum: f32,
    pairs: [(u8, u8); N],
}

impl<const N: usize> Fit<N> {
    /// For quants up to `most_quant` and pairs up to `most_pair`.
    fn new(block: &[f32], most_quant: f32, most_pair: f32) -> Self {
        let ranges: [(f32, f32); N] = std::array::from_fn(|j| {
            let (low, high) = range(&block[j * 256 / N..][..256 / N]);
            ((high - low) / most_quant, -low)
        });
        let unit = |largest: f32| f16::from_f32(largest / most_pair).to_f32();
        let scale = unit(ranges.iter().fold(0.0, |most: f32, range| most.max(range.0)));
        let minimum = unit(ranges.iter().fold(0.0, |most: f32, range| most.max(range.1)));
        let whole = |value: f32, unit: f32| (value * inverse(unit)).round().clamp(0.0, most_pair) as u8;
        Self { scale, minimum, pairs: ranges.map(|(d, m)| (whole(d, scale), whole(m, minimum))) }
    }

    fn quants(&self, block: &[f32], most: f32) -> [u8; 256] {
        std::array::from_fn(|i| {
            let (d, m) = self.pairs[i * N / 256];
            let (d, m) = (self.scale * f32::from(d), self.minimum * f32::from(m));
            ((block[i] + m) * inverse(d)).round().clamp(0.0, most) as u8
        })
    }
}

impl Fit<8> {
    /// Appends scale, minimum and the packed pairs.
    fn put(&self, out: &mut Vec<u8>) {
        put_f16(out, self.scale);
        put_f16(out, self.minimum);
        out.extend(pack_pairs(self.pairs));
    }
}

/// Eight 6-bit pairs in 12 bytes: the first four plain, of the others 4 bits behind and 2 on top of the first.
pub(super) fn pack_pairs(pairs: [(u8, u8); 8]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..4 => pairs[i].0 | (pairs[i + 4].0 >> 4) << 6,
        4..8 => pairs[i - 4].1 | (pairs[i].1 >> 4) << 6,
        _ => (pairs[i - 4].0 & 15) | (pairs[i - 4].1 & 15) << 4,
    })
}

/// Scale of a block and, for each 16 values, a signed multiple up to `most`, for quants from `-zero` on.
fn signed_scales(block: &[f32], zero: f32, most: f32) -> (f16, [i8; 16]) {
    let wanted: [f32; 16] = std::array::from_fn(|j| largest(&block[j * 16..][..16]) / -zero);
    let scale = f16::from_f32(largest(&wanted).abs() / most);
    let by = inverse(scale.to_f32());
    (scale, wanted.map(|d| (d * by).round().clamp(-most - 1.0, most) as i8))
}

/// Quants from 0 to `2 * zero - 1`, of which `zero` stands for zero.
fn signed_quants(block: &[f32], scale: f16, sub_scales: &[i8; 16], zero: i32) -> [u8; 256] {
    std::array::from_fn(|i| {
        let d = scale.to_f32() * f32::from(sub_scales[i / 16]);
        let quant = (block[i] * inverse(d)).round() as i32;
        (quant.clamp(-zero, zero - 1) + zero) as u8
    })
}

/// The lower four bits: of 64 numbers in 32 bytes, the first 32 below.
fn nibbles(quants: &[u8; 256]) -> impl Iterator<Item = u8> {
    let firsts = (0..4).flat_map(|j| j * 64..j * 64 + 32);
    firsts.map(|i| (quants[i] & 15) | (quants[i + 32] & 15) << 4)
}

/// The lower two bits: of 128 numbers in 32 bytes, the first 32 lowest.
fn bit_pairs(quants: &[u8; 256]) -> impl Iterator<Item = u8> {
    let firsts = (0..2).flat_map(|half| half * 128..half * 128 + 32);
    firsts.map(|i| (0..4).fold(0, |bits, j| bits | (quants[i + j * 32] & 3) << (j * 2)))
}
