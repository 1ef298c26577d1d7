//! Numbers out of stored blocks.

use half::f16;

/// A half of which the first byte is `at`.
pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// (scale, minimum) of the eight parts of a Q4_K or Q5_K block: 6 bits each, in twelve bytes.
pub(crate) fn pairs(packed: &[u8]) -> [(u8, u8); 8] {
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
