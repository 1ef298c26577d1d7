//! Blocks of 32 with one scale.

use super::{f16_at, nibble};

/// Scale, 16 bytes of nibbles.
pub(super) fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = scale * (f32::from(nibble(&block[2..], i)) - 8.0);
    }
}

/// Scale, minimum, 16 bytes of nibbles.
pub(super) fn q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    for (i, out) in out.iter_mut().enumerate() {
        *out = scale * f32::from(nibble(&block[4..], i)) + minimum;
    }
}

/// Scale, 32 fifth bits, 16 bytes of nibbles.
pub(super) fn q5_0(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = scale * (f32::from(five_bits(&block[2..], i)) - 16.0);
    }
}

/// Scale, minimum, 32 fifth bits, 16 bytes of nibbles.
pub(super) fn q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    for (i, out) in out.iter_mut().enumerate() {
        *out = scale * f32::from(five_bits(&block[4..], i)) + minimum;
    }
}

/// Scale, 32 signed bytes.
pub(super) fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
        *out = scale * f32::from(byte as i8);
    }
}

/// Element `i` of fifth bits with the nibbles behind them.
fn five_bits(bytes: &[u8], i: usize) -> u8 {
    nibble(&bytes[4..], i) | (bytes[i / 8] >> (i % 8) & 1) << 4
}
