//! Rows of floats into the other formats.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::isa::Isa;
use crate::lanes::{max, per_isa};
use crate::weights::BLOCK;

/// Where one quantised row goes.
pub(super) struct QuantRow<'a> {
    pub(super) bytes: &'a mut [i8],
    pub(super) blocks: Blocks<'a>,
}

/// What is kept of each block; see [`super::Quants`].
pub(super) struct Blocks<'a> {
    pub(super) scales: &'a mut [f32],
    pub(super) sums: &'a mut [i32],
    pub(super) half_sums: &'a mut [i32],
    pub(super) scaled_sums: &'a mut [f32],
}

impl Blocks<'_> {
    #[inline(always)]
    fn set(&mut self, block: usize, scale: f32, halves: [i32; 2]) {
        let sum = halves[0] + halves[1];
        self.scales[block] = scale;
        self.sums[block] = sum;
        self.half_sums[block * 2..][..2].copy_from_slice(&halves);
        self.scaled_sums[block] = scale * sum as f32;
    }
}

per_isa! {
    /// Rounds a row to bf16, two inputs to a word; a last single one is paired with zero.
    pub(super) fn bf16_row(x: &[f32], out: &mut [u32]) = bf16_body
}
per_isa! { fn quantize_any(x: &[f32], out: QuantRow<'_>) = quantize_body }

/// Quantises a row: each block of 32 by its largest value.
pub(super) fn quantize_row(isa: Isa, x: &[f32], out: QuantRow<'_>) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` in use comes from a `Cpu`, which is only made for one that this machine has.
        Isa::Amx | Isa::Avx512 => unsafe { quantize_avx512(x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { quantize_avx2(x, out) },
        _ => quantize_any(isa, x, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn quantize_avx512(x: &[f32], out: QuantRow<'_>) {
    let QuantRow { bytes, blocks: mut out } = out;
    let (blocks, bytes) = (x.as_chunks::<BLOCK>().0, bytes.as_chunks_mut::<BLOCK>().0);
    for (index, (x, bytes)) in blocks.iter().zip(bytes).enumerate() {
        // SAFETY: a block has two vectors of 16 floats, and its bytes two of 16 bytes.
        unsafe {
            let (first, second) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
            let largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(first), _mm512_abs_ps(second)));
            let (scale, by) = (largest / 127.0, if largest > 0.0 { 127.0 / largest } else { 0.0 });
            let by = _mm512_set1_ps(by);
            let first = _mm512_cvtps_epi32(_mm512_mul_ps(first, by));
            let second = _mm512_cvtps_epi32(_mm512_mul_ps(second, by));
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(first));
            _mm_storeu_si128(bytes.as_mut_ptr().add(16).cast(), _mm512_cvtepi32_epi8(second));
            let halves = [_mm512_reduce_add_epi32(first), _mm512_reduce_add_epi32(second)];
            out.set(index, scale, halves);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantize_avx2(x: &[f32], out: QuantRow<'_>) {
    let QuantRow { bytes, blocks: mut out } = out;
    let (blocks, bytes) = (x.as_chunks::<BLOCK>().0, bytes.as_chunks_mut::<BLOCK>().0);
    let without_sign = _mm256_set1_ps(-0.0);
    for (index, (x, bytes)) in blocks.iter().zip(bytes).enumerate() {
        // SAFETY: a block has four vectors of 8 floats.
        let x = [0, 8, 16, 24].map(|at| unsafe { _mm256_loadu_ps(x.as_ptr().add(at)) });
        let sizes = x.map(|x| _mm256_andnot_ps(without_sign, x));
        let largest = _mm256_max_ps(_mm256_max_ps(sizes[0], sizes[1]), _mm256_max_ps(sizes[2], sizes[3]));
        let largest = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps::<1>(largest));
        let largest = _mm_max_ps(largest, _mm_movehl_ps(largest, largest));
        let largest = _mm_cvtss_f32(_mm_max_ss(largest, _mm_shuffle_ps::<1>(largest, largest)));
        let (scale, by) = (largest / 127.0, if largest > 0.0 { 127.0 / largest } else { 0.0 });
        let by = _mm256_set1_ps(by);
        let quants = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, by)));
        // Packing works on each half of a register, so that the 32-bit groups have to be put in order afterwards.
        let (low, high) = (_mm256_packs_epi32(quants[0], quants[1]), _mm256_packs_epi32(quants[2], quants[3]));
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
        // SAFETY: a block has 32 bytes.
        unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), packed) };
        // Pairs are at most 2 * 127 and do not overflow.
        let sums = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), packed), _mm256_set1_epi16(1));
        out.set(index, scale, [sum(_mm256_castsi256_si128(sums)), sum(_mm256_extracti128_si256::<1>(sums))]);
    }
}

/// The sum of four integers.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn sum(four: __m128i) -> i32 {
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
}

#[inline(always)]
fn bf16_body<const FMA: bool>(x: &[f32], out: &mut [u32]) {
    let (pairs, single) = x.as_chunks::<2>();
    for (pair, out) in pairs.iter().zip(out.iter_mut()) {
        *out = bf16_bits(pair[0]) | bf16_bits(pair[1]) << 16;
    }
    if let ([value], Some(out)) = (single, out.last_mut()) {
        *out = bf16_bits(*value);
    }
}

/// The nearest bf16, of two the even one.
#[inline(always)]
fn bf16_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // A rounded NaN could become an infinity.
    if value.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

#[inline(always)]
fn quantize_body<const FMA: bool>(x: &[f32], out: QuantRow<'_>) {
    /// 1.5 * 2^23: adding it leaves the integer nearest to a small number, of two the even one, in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let QuantRow { bytes, blocks: mut out } = out;
    let (blocks, bytes) = (x.as_chunks::<BLOCK>().0, bytes.as_chunks_mut::<BLOCK>().0);
    for (index, (x, bytes)) in blocks.iter().zip(bytes).enumerate() {
        let mut largest = [0.0f32; 16];
        for i in 0..16 {
            let (a, b) = (x[i].abs(), x[i + 16].abs());
            largest[i] = if a > b { a } else { b };
        }
        let largest = max(&largest);
        let (scale, by) = (largest / 127.0, if largest > 0.0 { 127.0 / largest } else { 0.0 });
        let mut halves = [0; 2];
        for half in 0..2 {
            let mut quants = [0i32; 16];
            for i in 0..16 {
                let rounded = x[half * 16 + i] * by + ROUND;
                quants[i] = rounded.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
                bytes[half * 16 + i] = quants[i] as i8;
            }
            for quant in quants {
                halves[half] += i32::from(quant as i8);
            }
        }
        out.set(index, scale, halves);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activations::Quants;

    #[test]
    fn bf16_rounds_to_the_nearest_and_keeps_what_is_no_number() {
        for i in 0..1_000_000u32 {
            let value = f32::from_bits(i.wrapping_mul(4_295));
            let expected = half::bf16::from_f32(value);
            assert_eq!(bf16_bits(value), u32::from(expected.to_bits()), "{value}");
        }
    }

    #[test]
    fn quantised_rows_are_the_same_in_every_instruction_set() {
        let x: Vec<f32> = (0..256).map(|i| (i * 37 % 101) as f32 * 0.37 - 18.0).collect();
        let rows: Vec<_> = Isa::available()
            .into_iter()
            .map(|isa| {
                let mut quants = Quants::default();
                quants.resize(1, 256);
                let Quants { bytes, scales, sums, half_sums, scaled_sums, .. } = &mut quants;
                quantize_row(isa, &x, QuantRow { bytes, blocks: Blocks { scales, sums, half_sums, scaled_sums } });
                (quants.bytes, quants.scales, quants.half_sums)
            })
            .collect();
        for (i, (&byte, x)) in rows[0].0.iter().zip(&x).enumerate() {
            let scale = rows[0].1[i / 32];
            assert!((f32::from(byte) * scale - x).abs() <= 0.5001 * scale, "{x} became {byte} times {scale}");
        }
        assert!(rows.iter().all(|row| row == &rows[0]));
    }
}
