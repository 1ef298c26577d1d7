//! Floats to stored blocks, in plain scalar code, for generators and tests.
//!
//! Q4_0 and Q8_0 round as the format's reference does. Q4_K and Q6_K fit scale and minimum of each sub-block to its
//! range, without the reference's search for the best one: valid files, slightly larger errors.

use half::{bf16, f16};

use crate::ggml_type::GgmlType;

/// Whether [`row`] can write this type.
pub fn supports(dtype: GgmlType) -> bool {
    writer(dtype).is_some()
}

/// Appends whole rows to `out`.
///
/// # Panics
/// If the type is not [supported](supports) or `values` are no whole blocks.
pub fn row(dtype: GgmlType, values: &[f32], out: &mut Vec<u8>) {
    let write = writer(dtype).unwrap_or_else(|| panic!("{dtype} cannot be written"));
    assert!(dtype.bytes_of(values.len()).is_some(), "{dtype} needs whole blocks, got {} elements", values.len());
    values.chunks_exact(dtype.block_elements()).for_each(|block| write(block, out));
}

/// [`row`] into a new vector.
pub fn to_vec(dtype: GgmlType, values: &[f32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(dtype.bytes_of(values.len()).unwrap_or(0));
    row(dtype, values, &mut out);
    out
}

/// Appends one block.
type WriteBlock = fn(&[f32], &mut Vec<u8>);

fn writer(dtype: GgmlType) -> Option<WriteBlock> {
    Some(match dtype {
        GgmlType::F32 => |block, out| out.extend(block[0].to_le_bytes()),
        GgmlType::F16 => |block, out| out.extend(f16::from_f32(block[0]).to_le_bytes()),
        GgmlType::BF16 => |block, out| out.extend(bf16::from_f32(block[0]).to_le_bytes()),
        GgmlType::Q4_0 => q4_0,
        GgmlType::Q8_0 => q8_0,
        GgmlType::Q4_K => q4_k,
        GgmlType::Q6_K => q6_k,
        _ => return None,
    })
}

/// One over, or zero: a block of zeros has the scale zero.
fn inverse(value: f32) -> f32 {
    if value == 0.0 { 0.0 } else { 1.0 / value }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0f32, |best, &v| if v.abs() > best.abs() { v } else { best })
}

fn put_f16(out: &mut Vec<u8>, value: f32) -> f32 {
    let rounded = f16::from_f32(value);
    out.extend(rounded.to_le_bytes());
    rounded.to_f32()
}

fn q4_0(block: &[f32], out: &mut Vec<u8>) {
    // The value of largest magnitude becomes -8, the end of the range that has one step more.
    let scale = largest(block) / -8.0;
    let by = inverse(scale);
    put_f16(out, scale);
    let quant = |value: f32| ((value * by + 8.5) as i32).clamp(0, 15) as u8;
    out.extend((0..16).map(|i| quant(block[i]) | quant(block[i + 16]) << 4));
}

fn q8_0(block: &[f32], out: &mut Vec<u8>) {
    let scale = largest(block).abs() / 127.0;
    let by = inverse(scale);
    put_f16(out, scale);
    out.extend(block.iter().map(|&value| (value * by).round() as i8 as u8));
}

fn q4_k(block: &[f32], out: &mut Vec<u8>) {
    let ranges: [(f32, f32); 8] = std::array::from_fn(|j| {
        let sub = &block[j * 32..][..32];
        let low = sub.iter().fold(0.0f32, |a, &b| a.min(b));
        let high = sub.iter().fold(0.0f32, |a, &b| a.max(b));
        ((high - low) / 15.0, -low)
    });
    let scale = put_f16(out, ranges.iter().fold(0.0f32, |a, r| a.max(r.0)) / 63.0);
    let minimum = put_f16(out, ranges.iter().fold(0.0f32, |a, r| a.max(r.1)) / 63.0);
    let six = |value: f32, unit: f32| (value * inverse(unit)).round().clamp(0.0, 63.0) as u8;
    let pairs = ranges.map(|(d, m)| (six(d, scale), six(m, minimum)));
    out.extend(pack_pairs(pairs));
    let quant = |i: usize| {
        let (d, m) = (scale * f32::from(pairs[i / 32].0), minimum * f32::from(pairs[i / 32].1));
        ((block[i] + m) * inverse(d)).round().clamp(0.0, 15.0) as u8
    };
    for i in (0..4).flat_map(|j| j * 64..j * 64 + 32) {
        out.push(quant(i) | quant(i + 32) << 4);
    }
}

/// Eight 6-bit pairs in 12 bytes: the first four plain, of the others 4 bits behind and 2 on top of the first.
fn pack_pairs(pairs: [(u8, u8); 8]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..4 => pairs[i].0 | (pairs[i + 4].0 >> 4) << 6,
        4..8 => pairs[i - 4].1 | (pairs[i].1 >> 4) << 6,
        _ => (pairs[i - 4].0 & 15) | (pairs[i - 4].1 & 15) << 4,
    })
}

fn q6_k(block: &[f32], out: &mut Vec<u8>) {
    let wanted: [f32; 16] = std::array::from_fn(|j| largest(&block[j * 16..][..16]) / -32.0);
    let scale = f16::from_f32(largest(&wanted).abs() / 127.0);
    let by = inverse(scale.to_f32());
    let sub_scales = wanted.map(|d| (d * by).round().clamp(-128.0, 127.0) as i8);
    let quants: [u8; 256] = std::array::from_fn(|i| {
        let d = scale.to_f32() * f32::from(sub_scales[i / 16]);
        ((block[i] * inverse(d)).round().clamp(-32.0, 31.0) as i32 + 32) as u8
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dequantize;

    fn noise(n: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next() + next()).collect()
    }

    /// `bound` is the largest error over the largest value.
    #[track_caller]
    fn check(dtype: GgmlType, bound: f32) {
        let values = noise(2048);
        let bytes = to_vec(dtype, &values);
        assert_eq!(Some(bytes.len()), dtype.bytes_of(values.len()));
        let error = values.iter().zip(dequantize::to_vec(dtype, &bytes)).fold(0.0f32, |a, (x, y)| a.max((x - y).abs()));
        assert!(error <= bound, "{dtype}: error {error}, bound {bound}");
    }

    #[test]
    fn what_is_written_reads_back_within_half_a_step() {
        check(GgmlType::F32, 0.0);
        check(GgmlType::F16, 0.5 / 1024.0);
        check(GgmlType::BF16, 0.5 / 128.0);
        check(GgmlType::Q8_0, 0.6 / 127.0);
        check(GgmlType::Q6_K, 1.0 / 30.0);
        check(GgmlType::Q4_0, 1.05 / 8.0);
        check(GgmlType::Q4_K, 1.2 / 15.0);
    }

    #[test]
    fn zeros_stay_zeros() {
        for dtype in GgmlType::all().filter(|&dtype| supports(dtype)) {
            let bytes = to_vec(dtype, &[0.0; 256]);
            assert!(dequantize::to_vec(dtype, &bytes).iter().all(|&v| v == 0.0), "{dtype}");
        }
    }

    #[test]
    fn six_bit_pairs_survive_packing() {
        let pairs: [(u8, u8); 8] = std::array::from_fn(|i| (7 * i as u8 + 9, 63 - 8 * i as u8));
        assert_eq!(dequantize::q4_k_scales(&pack_pairs(pairs)), pairs);
    }
}
