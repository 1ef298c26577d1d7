//! Quantised weights: exact integer sums of each block, scaled and added in floats.

use std::arch::x86_64::*;

use crate::matmul::Task;
use crate::weights::{BLOCK, TILE};

pub(super) const Q8_0: u8 = 0;
pub(super) const Q4_0: u8 = 1;
pub(super) const Q4_K: u8 = 2;
pub(super) const Q6_K: u8 = 3;

/// The sums of `MR` rows from `row` and eight outputs.
///
/// # Safety
/// Rows and tile exist.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn kernel<const D: u8, const MR: usize>(
    task: &Task<'_>,
    tile: usize,
    first_lane: usize,
    row: usize,
) -> [__m256; MR] {
    let (x, k) = (&task.x.quants, task.x.k);
    let n_blocks = k / BLOCK;
    let (quants, meta) = (task.weights.quants_of(tile).as_ptr(), task.weights.meta_of(tile).as_ptr());
    let mut sums = [_mm256_setzero_ps(); MR];
    for block in 0..n_blocks {
        let scale_of = |i: usize| (row + i) * n_blocks + block;
        // SAFETY: the tile and the rows have the block.
        unsafe {
            let bytes = x.bytes.as_ptr().add(row * k + block * BLOCK);
            if D == Q6_K {
                for half in 0..2 {
                    let index = block * 2 + half;
                    let mut dots = [_mm256_setzero_si256(); MR];
                    for (i, dots) in dots.iter_mut().enumerate() {
                        *dots = _mm256_set1_epi32(-32 * x.half_sums[(row + i) * n_blocks * 2 + index]);
                    }
                    for g in 0..4 {
                        let weights = six_bits(quants, first_lane, index, g);
                        multiply::<D, MR>(weights, bytes.add(half * 16 + g * 4), k, &mut dots);
                    }
                    let meta = meta.add(index / 16 * 320);
                    let scale = signed_bytes(meta.add(index % 16 * TILE + first_lane));
                    let scale = _mm256_mul_ps(halfs(meta.add(256 + first_lane * 2)), scale);
                    for i in 0..MR {
                        let by = _mm256_mul_ps(scale, _mm256_set1_ps(x.scales[scale_of(i)]));
                        sums[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[i]), by, sums[i]);
                    }
                }
                continue;
            }
            let mut dots = [_mm256_setzero_si256(); MR];
            if D == Q4_0 {
                for (i, dots) in dots.iter_mut().enumerate() {
                    *dots = _mm256_set1_epi32(-8 * x.sums[scale_of(i)]);
                }
            }
            for g in 0..4 {
                let (low, high) = groups::<D>(quants, first_lane, block, g);
                multiply::<D, MR>(low, bytes.add(g * 4), k, &mut dots);
                multiply::<D, MR>(high, bytes.add(16 + g * 4), k, &mut dots);
            }
            let (scale, minimum) = scales::<D>(meta, first_lane, block);
            for i in 0..MR {
                let by = _mm256_mul_ps(scale, _mm256_set1_ps(x.scales[scale_of(i)]));
                sums[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[i]), by, sums[i]);
                if D == Q4_K {
                    let scaled_sum = _mm256_set1_ps(x.scaled_sums[scale_of(i)]);
                    sums[i] = _mm256_fnmadd_ps(minimum, scaled_sum, sums[i]);
                }
            }
        }
    }
    sums
}

/// Adds the products of four inputs of `MR` rows.
///
/// # Safety
/// `bytes` points to four activations of the first row, and rows are `k` bytes apart.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply<const D: u8, const MR: usize>(
    weights: __m256i,
    bytes: *const i8,
    k: usize,
    dots: &mut [__m256i; MR],
) {
    let ones = _mm256_set1_epi16(1);
    for (i, dots) in dots.iter_mut().enumerate() {
        // SAFETY: the caller's pointer has four bytes in each row.
        let x = _mm256_set1_epi32(unsafe { bytes.add(i * k).cast::<i32>().read_unaligned() });
        // Pairs are summed in 16 bits: 2 * 63 * 127 fits, and so does 2 * 128 * 127, but not 2 * 255 * 127. So 8-bit
        // weights are signed here, and their signs move to the activations.
        let pairs = if D == Q8_0 {
            _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))
        } else {
            _mm256_maddubs_epi16(weights, x)
        };
        *dots = _mm256_add_epi32(*dots, _mm256_madd_epi16(pairs, ones));
    }
}

/// Weights of inputs `4g..` and `16 + 4g..` of a block, eight lanes from `lane`.
///
/// # Safety
/// `quants` points to a tile that has the block.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn groups<const D: u8>(quants: *const u8, lane: usize, block: usize, g: usize) -> (__m256i, __m256i) {
    // SAFETY: a block has 8 vectors of 64 bytes in Q8_0 and 4 otherwise.
    unsafe {
        if D == Q8_0 {
            let at = quants.add(block * 512 + lane * 4);
            let sign = _mm256_set1_epi8(-128);
            let (low, high) = (vector(at.add(g * 64)), vector(at.add((g + 4) * 64)));
            (_mm256_xor_si256(low, sign), _mm256_xor_si256(high, sign))
        } else {
            let both = vector(quants.add(block * 256 + g * 64 + lane * 4));
            let nibble = _mm256_set1_epi8(15);
            (_mm256_and_si256(both, nibble), _mm256_and_si256(_mm256_srli_epi16::<4>(both), nibble))
        }
    }
}

/// Weights of inputs `4g..` of a half-block of `Q6_K`, eight lanes from `lane`.
///
/// # Safety
/// `quants` points to a tile that has the half-block.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn six_bits(quants: *const u8, lane: usize, half: usize, g: usize) -> __m256i {
    // SAFETY: four half-blocks are a chunk of 8 vectors of nibbles and 4 of bit pairs.
    let (low, high) = unsafe {
        let chunk = quants.add(half / 4 * 768 + lane * 4);
        (vector(chunk.add((g + half % 2 * 4) * 64)), vector(chunk.add(512 + g * 64)))
    };
    let low = if half % 4 < 2 { low } else { _mm256_srli_epi16::<4>(low) };
    let high = match half % 4 {
        0 => _mm256_slli_epi16::<4>(high),
        1 => _mm256_slli_epi16::<2>(high),
        2 => high,
        _ => _mm256_srli_epi16::<2>(high),
    };
    let (low_bits, high_bits) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    _mm256_or_si256(_mm256_and_si256(low, low_bits), _mm256_and_si256(high, high_bits))
}

/// Scales and minima (of `Q4_K`) of a block, eight lanes from `lane`.
///
/// # Safety
/// `meta` points to the meta of a tile that has the block.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn scales<const D: u8>(meta: *const u8, lane: usize, block: usize) -> (__m256, __m256) {
    // SAFETY: 32 bytes per block, or 320 per eight blocks.
    unsafe {
        if D == Q4_K {
            let (meta, sub) = (meta.add(block / 8 * 320), block % 8 * TILE + lane);
            let scale = _mm256_mul_ps(halfs(meta.add(256 + lane * 2)), bytes(meta.add(sub)));
            let minimum = _mm256_mul_ps(halfs(meta.add(288 + lane * 2)), bytes(meta.add(128 + sub)));
            (scale, minimum)
        } else {
            (halfs(meta.add(block * 32 + lane * 2)), _mm256_setzero_ps())
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn vector(at: *const u8) -> __m256i {
    // SAFETY: the caller's pointer has 32 bytes.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn halfs(at: *const u8) -> __m256 {
    // SAFETY: the caller's pointer has 16 bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn bytes(at: *const u8) -> __m256 {
    // SAFETY: the caller's pointer has 8 bytes.
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn signed_bytes(at: *const u8) -> __m256 {
    // SAFETY: the caller's pointer has 8 bytes.
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
}
