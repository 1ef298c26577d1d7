//! What all kernels of quantised weights share: unpacking, and exact integer sums of a block.
//!
//! An instruction multiplies unsigned by signed bytes and adds pairs of products in 16 bits. For up to six bits of
//! weights these sums stay exact over several inputs, so that they are widened once per block (four bits: 16 products of
//! at most 15 * 127) or once per eight inputs (six bits: four of at most 63 * 127). Eight bits fit only as 2 * 128 * 127:
//! there the weights' signs move to the activations, and every pair is widened at once. Numbers of MXFP4 are signed too,
//! but at most 12.

use std::arch::x86_64::*;

use super::LANES;
use crate::weights::{BLOCK, INT8_META, TILE};

pub(super) const Q8_0: u8 = 0;
pub(super) const Q4_0: u8 = 1;
pub(super) const Q4_K: u8 = 2;
pub(super) const Q6_K: u8 = 3;
pub(super) const INT8: u8 = 4;
pub(super) const MXFP4: u8 = 5;

/// Vectors of four inputs per block.
pub(super) const VECTORS: usize = BLOCK / 4;

/// Four inputs of both halves of a tile.
pub(super) type Tile = [__m256i; 2];

/// Where the vectors of a block are.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// In a tile, packed.
    Packed { quants: *const u8, block: usize },
    /// Unpacked before.
    Unpacked(&'a [Tile; VECTORS]),
}

/// Bytes of a tile's quants per block, on average.
pub(super) const fn block_bytes(dtype: u8) -> usize {
    match dtype {
        Q8_0 | INT8 => 512,
        Q6_K => 384,
        _ => 256,
    }
}

/// Weights of inputs `4v..` of a block, without sign but for `Q8_0`, `INT8` and `MXFP4`.
///
/// # Safety
/// `quants` points to a tile that has the block.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn unpack<const D: u8>(quants: *const u8, block: usize, v: usize) -> Tile {
    // SAFETY: passed on.
    unsafe {
        match D {
            Q8_0 | INT8 => {
                let at = quants.add(block * 512 + v * 64);
                let sign = _mm256_set1_epi8(-128);
                [_mm256_xor_si256(vector(at), sign), _mm256_xor_si256(vector(at.add(32)), sign)]
            }
            Q6_K => [six_bits(quants, block, v), six_bits(quants.add(32), block, v)],
            _ => {
                let at = quants.add(block * 256 + v % 4 * 64);
                let both = [nibbles(at, v / 4), nibbles(at.add(32), v / 4)];
                if D == MXFP4 { both.map(|nibbles| _mm256_shuffle_epi8(e2m1(), nibbles)) } else { both }
            }
        }
    }
}

/// The lower or the upper nibbles.
///
/// # Safety
/// `at` points to 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn nibbles(at: *const u8, upper: usize) -> __m256i {
    // SAFETY: the caller's pointer.
    let both = unsafe { vector(at) };
    let mine = if upper == 0 { both } else { _mm256_srli_epi16::<4>(both) };
    _mm256_and_si256(mine, _mm256_set1_epi8(15))
}

/// What nibbles of `MXFP4` stand for, doubled, in both halves.
#[inline]
#[target_feature(enable = "avx2")]
fn e2m1() -> __m256i {
    let half = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    _mm256_broadcastsi128_si256(half)
}

/// Eight lanes of `Q6_K`.
///
/// # Safety
/// `quants` points to a tile (or its second half) that has the block.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn six_bits(quants: *const u8, block: usize, v: usize) -> __m256i {
    // SAFETY: two blocks are a chunk of 8 vectors of nibbles and 4 of bit pairs.
    let (low, high) = unsafe {
        let chunk = quants.add(block / 2 * 768);
        (vector(chunk.add(v * 64)), vector(chunk.add(512 + v % 4 * 64)))
    };
    let low = if block.is_multiple_of(2) { low } else { _mm256_srli_epi16::<4>(low) };
    let high = match (block % 2, v / 4) {
        (0, 0) => _mm256_slli_epi16::<4>(high),
        (0, _) => _mm256_slli_epi16::<2>(high),
        (_, 0) => high,
        _ => _mm256_srli_epi16::<2>(high),
    };
    let (low_bits, high_bits) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    _mm256_or_si256(_mm256_and_si256(low, low_bits), _mm256_and_si256(high, high_bits))
}

/// The sums over `R` rows of `BLOCK` activations, one after the other at `bytes`, of a block, or of `Q6_K` of its first or
/// `SECOND` half.
///
/// # Safety
/// The source and the rows have the block.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dots<const D: u8, const SECOND: bool, const R: usize>(
    source: Source<'_>,
    bytes: *const i8,
) -> [[__m256i; 2]; R] {
    let ones = _mm256_set1_epi16(1);
    let mut pairs = [[_mm256_setzero_si256(); 2]; R];
    let mut dots = pairs;
    for i in 0..if D == Q6_K { VECTORS / 2 } else { VECTORS } {
        let v = i + if SECOND { VECTORS / 2 } else { 0 };
        // SAFETY: passed on.
        let weights = unsafe {
            match source {
                Source::Packed { quants, block } => unpack::<D>(quants, block, v),
                Source::Unpacked(vectors) => vectors[v],
            }
        };
        let sizes = weights.map(|weights| _mm256_abs_epi8(weights));
        for r in 0..R {
            // SAFETY: the rows have `BLOCK` bytes.
            let x = _mm256_set1_epi32(unsafe { bytes.add(r * BLOCK + v * 4).cast::<i32>().read_unaligned() });
            for half in 0..2 {
                if D == MXFP4 {
                    let products = _mm256_maddubs_epi16(sizes[half], _mm256_sign_epi8(x, weights[half]));
                    pairs[r][half] = _mm256_add_epi16(pairs[r][half], products);
                } else if D == Q8_0 || D == INT8 {
                    let products = _mm256_maddubs_epi16(sizes[half], _mm256_sign_epi8(x, weights[half]));
                    dots[r][half] = _mm256_add_epi32(dots[r][half], _mm256_madd_epi16(products, ones));
                } else {
                    let products = _mm256_maddubs_epi16(weights[half], x);
                    pairs[r][half] = _mm256_add_epi16(pairs[r][half], products);
                }
            }
        }
        let widens_at_once = D == Q8_0 || D == INT8;
        let full = D == Q6_K && v % 2 == 1 || !widens_at_once && v == VECTORS - 1;
        if full {
            for r in 0..R {
                for half in 0..2 {
                    dots[r][half] = _mm256_add_epi32(dots[r][half], _mm256_madd_epi16(pairs[r][half], ones));
                    pairs[r][half] = _mm256_setzero_si256();
                }
            }
        }
    }
    dots
}

/// Takes the offset of the quants, times the sum of the activations, off their sums.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn without_offset<const D: u8>(dots: [__m256i; 2], sum: i32) -> [__m256i; 2] {
    let offset = match D {
        Q4_0 => _mm256_slli_epi32::<3>(_mm256_set1_epi32(sum)),
        Q6_K => _mm256_slli_epi32::<5>(_mm256_set1_epi32(sum)),
        _ => return dots,
    };
    [_mm256_sub_epi32(dots[0], offset), _mm256_sub_epi32(dots[1], offset)]
}

/// Scales of a block, or of `Q6_K` of its first or `SECOND` half.
///
/// # Safety
/// `meta` points to the meta of a tile that has the block.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn scales<const D: u8, const SECOND: bool>(meta: *const u8, block: usize) -> [__m256; 2] {
    let mut scales = [_mm256_setzero_ps(); 2];
    for (half, scale) in scales.iter_mut().enumerate() {
        let lane = half * LANES;
        // SAFETY: 32 bytes per block, 320 per eight blocks, or as the layout says.
        *scale = unsafe {
            if D == Q4_K {
                let meta = meta.add(block / 8 * 320);
                _mm256_mul_ps(halfs(meta.add(256 + lane * 2)), bytes(meta.add(block % 8 * TILE + lane)))
            } else if D == Q6_K {
                let (meta, sub) = (meta.add(block / 8 * 320), block % 8 * 2 + usize::from(SECOND));
                _mm256_mul_ps(halfs(meta.add(256 + lane * 2)), signed_bytes(meta.add(sub * TILE + lane)))
            } else if D == INT8 {
                _mm256_loadu_ps(meta.add(block * INT8_META + lane * 4).cast())
            } else if D == MXFP4 {
                powers(meta.add(block * TILE + lane))
            } else {
                halfs(meta.add(block * 32 + lane * 2))
            }
        };
    }
    scales
}

/// Minima of a block of `Q4_K`.
///
/// # Safety
/// `meta` points to the meta of a tile that has the block.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn minima(meta: *const u8, block: usize) -> [__m256; 2] {
    let mut minima = [_mm256_setzero_ps(); 2];
    for (half, minimum) in minima.iter_mut().enumerate() {
        let lane = half * LANES;
        // SAFETY: 320 bytes per eight blocks.
        *minimum = unsafe {
            let meta = meta.add(block / 8 * 320);
            _mm256_mul_ps(halfs(meta.add(288 + lane * 2)), bytes(meta.add(128 + block % 8 * TILE + lane)))
        };
    }
    minima
}

/// Minima of the halves of a block of `INT8`.
///
/// # Safety
/// `meta` points to the meta of a tile that has the block.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn half_minima(meta: *const u8, block: usize) -> [[__m256; 2]; 2] {
    let mut minima = [[_mm256_setzero_ps(); 2]; 2];
    for (i, minimum) in minima.as_flattened_mut().iter_mut().enumerate() {
        // SAFETY: behind 16 scales stand 16 minima of the first and 16 of the second halves.
        *minimum = unsafe { _mm256_loadu_ps(meta.add(block * INT8_META + TILE * 4 + i * LANES * 4).cast()) };
    }
    minima
}

/// Half of two to the power of eight exponents less 127.
///
/// # Safety
/// `at` points to eight bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn powers(at: *const u8) -> __m256 {
    // SAFETY: the caller's pointer.
    let exponents = _mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(at.cast()) });
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(exponents, _mm256_set1_epi32(1)));
    let tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), exponents);
    let is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), exponents);
    _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny))
}

/// Adds scaled sums of a block, in the order of operations that all instruction sets have.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn add_scaled(sums: [__m256; 2], dots: [__m256i; 2], scales: [__m256; 2], scale: __m256) -> [__m256; 2] {
    let one =
        |half: usize| _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[half]), _mm256_mul_ps(scales[half], scale), sums[half]);
    [one(0), one(1)]
}

/// Takes off the minima of a block of `Q4_K`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn take_off(sums: [__m256; 2], minima: [__m256; 2], scaled_sum: __m256) -> [__m256; 2] {
    [_mm256_fnmadd_ps(minima[0], scaled_sum, sums[0]), _mm256_fnmadd_ps(minima[1], scaled_sum, sums[1])]
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
