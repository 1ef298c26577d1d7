//! Stored blocks to floats, in plain scalar code: the definition that kernels are tested against.
//!
//! The block layouts are those of the GGUF specification (ggml's `block_q4_0`, `block_q8_0`, `block_q4_K`, `block_q6_K`).

use half::{bf16, f16};

use crate::ggml_type::GgmlType;

/// Whether [`row`] can read this type, and the kernels can compute with it.
pub fn supports(dtype: GgmlType) -> bool {
    reader(dtype).is_some()
}

/// Reads whole rows; `out` has as many elements as `bytes` hold.
///
/// # Panics
/// If the type is not [supported](supports) or the sizes do not fit.
pub fn row(dtype: GgmlType, bytes: &[u8], out: &mut [f32]) {
    let read = reader(dtype).unwrap_or_else(|| panic!("{dtype} cannot be read as floats"));
    assert_eq!(dtype.bytes_of(out.len()), Some(bytes.len()), "{dtype}: {} elements", out.len());
    let blocks = bytes.chunks_exact(dtype.block_bytes());
    for (block, out) in blocks.zip(out.chunks_exact_mut(dtype.block_elements())) {
        read(block, out);
    }
}

/// [`row`] into a new vector.
pub fn to_vec(dtype: GgmlType, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; bytes.len() / dtype.block_bytes() * dtype.block_elements()];
    row(dtype, bytes, &mut out);
    out
}

/// Reads one block.
type ReadBlock = fn(&[u8], &mut [f32]);

fn reader(dtype: GgmlType) -> Option<ReadBlock> {
    Some(match dtype {
        GgmlType::F32 => |block, out| out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
        GgmlType::F16 => |block, out| out[0] = f16_at(block, 0),
        GgmlType::BF16 => |block, out| out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
        GgmlType::Q4_0 => q4_0,
        GgmlType::Q8_0 => q8_0,
        GgmlType::Q4_K => q4_k,
        GgmlType::Q6_K => q6_k,
        _ => return None,
    })
}

fn f16_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Scale, 16 bytes of nibbles: the low ones are elements 0 to 15.
fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (i, &byte) in block[2..].iter().enumerate() {
        out[i] = scale * (f32::from(byte & 15) - 8.0);
        out[i + 16] = scale * (f32::from(byte >> 4) - 8.0);
    }
}

/// Scale, 32 signed bytes.
fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
        *out = scale * f32::from(byte as i8);
    }
}

/// The eight 6-bit (scale, minimum) pairs of a Q4_K block, from its 12 packed bytes.
pub(crate) fn q4_k_scales(packed: &[u8]) -> [(u8, u8); 8] {
    std::array::from_fn(|j| match j {
        0..4 => (packed[j] & 63, packed[j + 4] & 63),
        _ => ((packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4), (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4)),
    })
}

/// Scale and minimum of the block, eight 6-bit pairs, 128 bytes of nibbles: of 32 bytes each, the low ones first.
fn q4_k(block: &[u8], out: &mut [f32]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    let pairs = q4_k_scales(&block[4..16]);
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (sub_scale, sub_minimum) = pairs[j];
        let (d, m) = (scale * f32::from(sub_scale), minimum * f32::from(sub_minimum));
        let nibbles = &block[16 + j / 2 * 32..][..32];
        for (out, &byte) in out.iter_mut().zip(nibbles) {
            let quant = if j % 2 == 0 { byte & 15 } else { byte >> 4 };
            *out = d * f32::from(quant) - m;
        }
    }
}

/// 128 bytes of low nibbles, 64 of high bit pairs, 16 signed sub-scales (one per 16 elements), scale.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let scale = f16_at(block, 208);
    for (i, out) in out.iter_mut().enumerate() {
        let (half, quarter, lane) = (i / 128, i % 128 / 32, i % 32);
        let low = block[half * 64 + quarter % 2 * 32 + lane] >> (quarter / 2 * 4) & 15;
        let high = block[128 + half * 32 + lane] >> (quarter * 2) & 3;
        let quant = i32::from(low | high << 4) - 32;
        *out = scale * f32::from(block[192 + i / 16] as i8) * quant as f32;
    }
}
