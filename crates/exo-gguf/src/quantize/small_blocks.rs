//! Blocks of 32 with one scale.

use super::{inverse, largest, nibbles, put_f16, range};

pub(super) fn q4_0(block: &[f32], out: &mut Vec<u8>) {
    let quants = around_zero(block, 8, out);
    out.extend(nibbles(&quants));
}

pub(super) fn q4_1(block: &[f32], out: &mut Vec<u8>) {
    let quants = from_minimum(block, 15, out);
    out.extend(nibbles(&quants));
}

pub(super) fn q5_0(block: &[f32], out: &mut Vec<u8>) {
    let quants = around_zero(block, 16, out);
    out.extend(fifth_bits(&quants));
    out.extend(nibbles(&quants));
}

pub(super) fn q5_1(block: &[f32], out: &mut Vec<u8>) {
    let quants = from_minimum(block, 31, out);
    out.extend(fifth_bits(&quants));
    out.extend(nibbles(&quants));
}

pub(super) fn q8_0(block: &[f32], out: &mut Vec<u8>) {
    let scale = largest(block).abs() / 127.0;
    let by = inverse(scale);
    put_f16(out, scale);
    out.extend(block.iter().map(|&value| (value * by).round() as i8 as u8));
}

/// Appends the scale; quants from 0 to `2 * zero - 1`, of which `zero` stands for zero. The value of largest magnitude
/// becomes 0, the end of the range that has one step more.
fn around_zero(block: &[f32], zero: u8, out: &mut Vec<u8>) -> [u8; 32] {
    let scale = -largest(block) / f32::from(zero);
    let by = inverse(scale);
    put_f16(out, scale);
    std::array::from_fn(|i| ((block[i] * by + (f32::from(zero) + 0.5)) as i32).clamp(0, 2 * i32::from(zero) - 1) as u8)
}

/// Appends scale and minimum; quants from 0 to `most`.
fn from_minimum(block: &[f32], most: u8, out: &mut Vec<u8>) -> [u8; 32] {
    let (low, high) = range(block);
    let by = inverse(put_f16(out, (high - low) / f32::from(most)));
    let minimum = put_f16(out, low);
    std::array::from_fn(|i| ((block[i] - minimum) * by).round().clamp(0.0, f32::from(most)) as u8)
}

fn fifth_bits(quants: &[u8; 32]) -> [u8; 4] {
    let bits = quants.iter().enumerate().fold(0u32, |bits, (i, quant)| bits | u32::from(quant >> 4) << i);
    bits.to_le_bytes()
}
