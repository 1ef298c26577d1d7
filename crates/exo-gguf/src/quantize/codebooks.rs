//! Nibbles that stand for numbers of a table.

use half::f16;

use super::{inverse, largest, nibbles, put_f16};
use crate::codebook::{E2M1, IQ4};

pub(super) fn iq4_nl(block: &[f32], out: &mut Vec<u8>) {
    // The value of largest magnitude becomes -127, the end of the table.
    let by = inverse(put_f16(out, largest(block) / -127.0));
    out.extend(nibbles(&nearest(block, by, &IQ4)));
}

pub(super) fn iq4_xs(block: &[f32], out: &mut Vec<u8>) {
    let parts = block.as_chunks::<32>().0;
    let wanted: [f32; 8] = std::array::from_fn(|j| largest(&parts[j]) / -127.0);
    let scale = f16::from_f32(largest(&wanted).abs() / 31.0).to_f32();
    let scales = wanted.map(|d| (d * inverse(scale)).round().clamp(-32.0, 31.0));
    put_f16(out, scale);
    let six = scales.map(|d| (d + 32.0) as u8);
    let high = (0..8).fold(0u16, |bits, j| bits | u16::from(six[j] >> 4) << (2 * j));
    out.extend(high.to_le_bytes());
    out.extend((0..4).map(|j| (six[2 * j] & 15) | (six[2 * j + 1] & 15) << 4));
    for (part, d) in parts.iter().zip(scales) {
        out.extend(nibbles(&nearest(part, inverse(scale * d), &IQ4)));
    }
}

pub(super) fn mxfp4(block: &[f32], out: &mut Vec<u8>) {
    let size = largest(block).abs();
    // The largest number of the table is 6, a little under two to the power of 3.
    let exponent = if size > 0.0 { (size.log2().floor() - 2.0).clamp(-125.0, 127.0) } else { -125.0 };
    out.push((exponent + 127.0) as u8);
    out.extend(nibbles(&nearest(block, 2.0 * (-exponent).exp2(), &E2M1)));
}

/// For each value, times `by`, the index of the nearest number.
fn nearest(values: &[f32], by: f32, table: &[i8; 16]) -> [u8; 32] {
    std::array::from_fn(|i| {
        let distance = |index: &u8| (f32::from(table[usize::from(*index)]) - values[i] * by).abs();
        (0..16).min_by(|left, right| distance(left).total_cmp(&distance(right))).unwrap_or_default()
    })
}
