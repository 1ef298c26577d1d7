//! Stored blocks to quants and floats.

use half::{bf16, f16};

use crate::dtype::Dtype;

/// One stored row as floats.
pub(crate) fn row(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => each(bytes, out, |b: [u8; 4]| f32::from_le_bytes(b)),
        Dtype::F16 => each(bytes, out, |b: [u8; 2]| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, out, |b: [u8; 2]| bf16::from_le_bytes(b).to_f32()),
        Dtype::Q4_0 => blocks::<18, 32>(bytes, out, q4_0),
        Dtype::Q8_0 => blocks::<34, 32>(bytes, out, q8_0),
        Dtype::Q4_K => blocks::<144, 256>(bytes, out, q4_k),
        Dtype::Q6_K => blocks::<210, 256>(bytes, out, q6_k),
    }
}

fn each<const BYTES: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; BYTES]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
        *out = read(*bytes);
    }
}

fn blocks<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    read: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    for (out, bytes) in out.as_chunks_mut::<ELEMENTS>().0.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
        read(bytes, out);
    }
}

pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for (i, &byte) in block[2..].iter().enumerate() {
        out[i] = scale * (f32::from(byte & 15) - 8.0);
        out[i + 16] = scale * (f32::from(byte >> 4) - 8.0);
    }
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
        *out = scale * f32::from(byte.cast_signed());
    }
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let quants = q4_k_quants(block);
    for (sub, (d, m)) in q4_k_pairs(block).into_iter().enumerate() {
        let (d, m) = (scale * f32::from(d), minimum * f32::from(m));
        for i in sub * 32..(sub + 1) * 32 {
            out[i] = d * f32::from(quants[i]) - m;
        }
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let scale = half_at(block, 208);
    for (i, quant) in q6_k_quants(block).into_iter().enumerate() {
        out[i] = scale * f32::from(block[192 + i / 16].cast_signed()) * (f32::from(quant) - 32.0);
    }
}

/// (scale, minimum) of the eight sub-blocks of a Q4_K block: 6 bits each in bytes 4 to 15.
pub(crate) fn q4_k_pairs(block: &[u8; 144]) -> [(u8, u8); 8] {
    let packed = &block[4..16];
    std::array::from_fn(|j| {
        if j < 4 {
            (packed[j] & 63, packed[j + 4] & 63)
        } else {
            let (low, d_high, m_high) = (packed[j + 4], packed[j - 4] >> 6, packed[j] >> 6);
            (low & 15 | d_high << 4, low >> 4 | m_high << 4)
        }
    })
}

/// The quants of a Q4_K block in order, 0 to 15.
pub(crate) fn q4_k_quants(block: &[u8; 144]) -> [u8; 256] {
    let mut out = [0; 256];
    for (bytes, out) in block[16..].chunks_exact(32).zip(out.chunks_exact_mut(64)) {
        for (i, &byte) in bytes.iter().enumerate() {
            out[i] = byte & 15;
            out[i + 32] = byte >> 4;
        }
    }
    out
}

/// The quants of a Q6_K block in order, 0 to 63 (32 stands for zero).
pub(crate) fn q6_k_quants(block: &[u8; 210]) -> [u8; 256] {
    let mut out = [0; 256];
    for (half, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high) = (&block[half * 64..][..64], &block[128 + half * 32..][..32]);
        for i in 0..32 {
            out[i] = low[i] & 15 | (high[i] & 3) << 4;
            out[i + 32] = low[i + 32] & 15 | (high[i] >> 2 & 3) << 4;
            out[i + 64] = low[i] >> 4 | (high[i] >> 4 & 3) << 4;
            out[i + 96] = low[i + 32] >> 4 | (high[i] >> 6) << 4;
        }
    }
    out
}
