//! Stored blocks to floats, in plain scalar code: the definition that kernels are tested against.
//!
//! The block layouts are those of the GGUF specification (ggml's `block_q4_0`, `block_q8_0`, `block_q4_K` and so on).

mod codebooks;
pub(crate) mod k_quants;
mod small_blocks;

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

fn f16_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Element `i` of 32 in 16 bytes of nibbles: the low ones are elements 0 to 15.
fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i % 16] >> (i / 16 * 4) & 15
}
