//! Floats to stored blocks, in plain scalar code, for generators and tests.
//!
//! Q4_0 and Q8_0 round as the format's reference does. The others fit scale and minimum of each block to its range,
//! without the reference's search for the best one: valid files, slightly larger errors.

mod codebooks;
mod k_quants;
mod small_blocks;

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
        GgmlType::Q4_0 => small_blocks::q4_0,
        GgmlType::Q4_1 => small_blocks::q4_1,
        GgmlType::Q5_0 => small_blocks::q5_0,
        GgmlType::Q5_1 => small_blocks::q5_1,
        GgmlType::Q8_0 => small_blocks::q8_0,
        GgmlType::Q2_K => k_quants::q2_k,
        GgmlType::Q3_K => k_quants::q3_k,
        GgmlType::Q4_K => k_quants::q4_k,
        GgmlType::Q5_K => k_quants::q5_k,
        GgmlType::Q6_K => k_quants::q6_k,
        GgmlType::IQ4_NL => codebooks::iq4_nl,
        GgmlType::IQ4_XS => codebooks::iq4_xs,
        GgmlType::MXFP4 => codebooks::mxfp4,
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

/// The smallest value, or 0 if none is below, and the largest, or 0 if none is above.
fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((0.0, 0.0), |(low, high), &value| (value.min(low), value.max(high)))
}

/// 32 numbers of 4 bits in 16 bytes: the low halves are the first 16.
fn nibbles(quants: &[u8; 32]) -> impl Iterator<Item = u8> {
    (0..16).map(|i| (quants[i] & 15) | (quants[i + 16] & 15) << 4)
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
        check(GgmlType::Q5_K, 1.2 / 31.0);
        check(GgmlType::Q3_K, 1.2 / 4.0);
        check(GgmlType::Q2_K, 1.3 / 3.0);
        check(GgmlType::Q4_1, 1.1 / 15.0);
        check(GgmlType::Q5_0, 1.05 / 16.0);
        check(GgmlType::Q5_1, 1.1 / 31.0);
        // The widest gap of the table is 24 of 127, at its ends.
        check(GgmlType::IQ4_NL, 14.0 / 127.0);
        check(GgmlType::IQ4_XS, 16.0 / 127.0);
        // From 4 to 6, and beyond 6 up to 8.
        check(GgmlType::MXFP4, 2.1 / 6.0);
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
        assert_eq!(dequantize::k_quants::pairs(&k_quants::pack_pairs(pairs)), pairs);
    }
}
