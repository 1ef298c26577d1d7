//! Nibbles that stand for numbers of a table.

use super::{f16_at, nibble};
use crate::codebook::{E2M1, IQ4};

/// Scale, 16 bytes of nibbles.
pub(super) fn iq4_nl(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = scale * f32::from(IQ4[usize::from(nibble(&block[2..], i))]);
    }
}

/// Scale, the upper pairs of bits of eight 6-bit scales (32 stands for zero), their nibbles, and 16 bytes of nibbles for
/// each 32 elements.
pub(super) fn iq4_xs(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (sub, out) in out.chunks_exact_mut(32).enumerate() {
        let low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
        let high = block[2 + sub / 4] >> (sub % 4 * 2) & 3;
        let d = scale * f32::from((low | high << 4) as i8 - 32);
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(IQ4[usize::from(nibble(&block[8 + sub * 16..], i))]);
        }
    }
}

/// Exponent of the scale, 16 bytes of nibbles.
pub(super) fn mxfp4(block: &[u8], out: &mut [f32]) {
    let scale = half_of_e8m0(block[0]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = scale * f32::from(E2M1[usize::from(nibble(&block[1..], i))]);
    }
}

/// Half of two to the power of `exponent - 127`.
fn half_of_e8m0(exponent: u8) -> f32 {
    match exponent {
        // Below the smallest normal number.
        0 | 1 => f32::from_bits(0x0020_0000 << exponent),
        _ => f32::from_bits(u32::from(exponent - 1) << 23),
    }
}
