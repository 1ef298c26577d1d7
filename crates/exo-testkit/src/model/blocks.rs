//! Random weights, written straight in the format of their tensor: a gigabyte in about a second.

use exo_gguf::{GgmlType, quantize};
use half::{bf16, f16};

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Numbers that depend on `seed` only.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An independent generator.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }

    /// Uniform between `low` and `high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// That many of them.
    pub fn vector(&mut self, length: usize, low: f32, high: f32) -> Vec<f32> {
        (0..length).map(|_| self.uniform(low, high)).collect()
    }

    fn bytes(&mut self, count: usize, out: &mut Vec<u8>) {
        let end = out.len() + count;
        while out.len() + 8 <= end {
            out.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        let rest = end - out.len();
        out.extend_from_slice(&self.next_u64().to_le_bytes()[..rest]);
    }
}

/// Appends a row of `elements` numbers around 0 with the standard deviation `deviation`.
///
/// # Panics
/// For formats that cannot be written.
pub(super) fn random_row(random: &mut Random, dtype: GgmlType, elements: usize, deviation: f32, out: &mut Vec<u8>) {
    // A uniform distribution from −x to x has the deviation x/√3.
    let reach = deviation * 3f32.sqrt();
    let blocks = elements / dtype.block_elements();
    for _ in 0..blocks {
        match dtype {
            GgmlType::F32 => out.extend(random.uniform(-reach, reach).to_le_bytes()),
            GgmlType::F16 => out.extend(f16::from_f32(random.uniform(-reach, reach)).to_le_bytes()),
            GgmlType::BF16 => out.extend(bf16::from_f32(random.uniform(-reach, reach)).to_le_bytes()),
            GgmlType::Q4_0 => {
                // Uniform in 0..16, less 8: deviation 4.61.
                scale(random, deviation / 4.61, out);
                random.bytes(16, out);
            }
            GgmlType::Q8_0 => {
                // Uniform in −128..128: deviation 73.9.
                scale(random, deviation / 73.9, out);
                random.bytes(32, out);
            }
            GgmlType::Q4_K => q4_k(random, deviation, out),
            GgmlType::Q6_K => q6_k(random, deviation, out),
            other => {
                let values = random.vector(other.block_elements(), -reach, reach);
                quantize::row(other, &values, out);
            }
        }
    }
}

/// Scales vary by a factor of two, so that a kernel that mixes them up is noticed.
fn scale(random: &mut Random, mean: f32, out: &mut Vec<u8>) {
    out.extend(f16::from_f32(mean * random.uniform(0.67, 1.33)).to_le_bytes());
}

/// Two scales, eight 6-bit pairs of sub-scale and offset, 256 4-bit numbers.
fn q4_k(random: &mut Random, deviation: f32, out: &mut Vec<u8>) {
    // Sub-scales and offsets are near 32 of 64; an offset of 7.5 steps centres numbers from 0 to 15.
    let step = deviation / (4.61 * 32.0);
    out.extend(f16::from_f32(step).to_le_bytes());
    out.extend(f16::from_f32(7.5 * step).to_le_bytes());
    // The upper two bits of these make 32 to 47 of the last four pairs, the lower six 32 to 39 of the first four.
    (0..8).for_each(|_| out.push(0b1010_0000 | (random.next_u64() as u8 & 7)));
    random.bytes(4, out);
    random.bytes(128, out);
}

/// 256 6-bit numbers, sixteen sub-scales, a scale.
fn q6_k(random: &mut Random, deviation: f32, out: &mut Vec<u8>) {
    random.bytes(192, out);
    (0..16).for_each(|_| out.push(24 + (random.next_u64() as u8 & 15)));
    // Uniform in −32..32: deviation 18.5; sub-scales are 32 on average.
    out.extend(f16::from_f32(deviation / (18.5 * 32.0)).to_le_bytes());
}
