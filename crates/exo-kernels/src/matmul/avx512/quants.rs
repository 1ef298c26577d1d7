//! Quantised weights: exact integer sums of each block, scaled and added in floats.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{finish, row_groups};
use crate::matmul::Task;
use crate::weights::{BLOCK, TILE};

pub(in crate::matmul) const Q8_0: u8 = 0;
pub(in crate::matmul) const Q4_0: u8 = 1;
pub(in crate::matmul) const Q4_K: u8 = 2;
pub(in crate::matmul) const Q6_K: u8 = 3;

/// How far ahead of use weights are fetched when they are read once: about the latency of memory times its bandwidth.
const AHEAD: usize = 4096;

/// All rows of some tiles, from row `from` on.
///
/// # Safety
/// No other thread has these tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn tiles<const D: u8>(task: &Task<'_>, tiles: Range<usize>, from: usize) {
    let mut tile = tiles.start;
    if task.x.m - from == 1 {
        // Four streams: one alone does not keep the memory busy.
        while tile + 4 <= tiles.end {
            // SAFETY: passed on.
            unsafe { kernel::<D, 1, 4>(task, tile, from) };
            tile += 4;
        }
    }
    while tile + 2 <= tiles.end {
        // SAFETY: passed on.
        row_groups!(task, from, 6, [1, 2, 3, 4, 5], |MR, row| unsafe { kernel::<D, MR, 2>(task, tile, row) });
        tile += 2;
    }
    while tile < tiles.end {
        // SAFETY: passed on.
        row_groups!(task, from, 6, [1, 2, 3, 4, 5], |MR, row| unsafe { kernel::<D, MR, 1>(task, tile, row) });
        tile += 1;
    }
}

/// Where a kernel reads: the first tile's quants and meta, and the first row's activations.
#[derive(Clone, Copy)]
struct Source<'a> {
    quants: *const u8,
    tile_quants: usize,
    meta: *const u8,
    tile_meta: usize,
    bytes: *const i8,
    task: &'a Task<'a>,
    k: usize,
    n_blocks: usize,
    row: usize,
}

/// `MR` rows from `row` by `NT` tiles from `tile`.
///
/// # Safety
/// Rows and tiles exist, and no other thread has these tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn kernel<const D: u8, const MR: usize, const NT: usize>(task: &Task<'_>, tile: usize, row: usize) {
    let (weights, k) = (task.weights, task.x.k);
    debug_assert!(row + MR <= task.x.m && tile + NT <= weights.n_tiles());
    // SAFETY: the tiles and rows exist, so the offsets lie inside their buffers.
    let source = unsafe {
        Source {
            quants: weights.quants.as_ptr().add(tile * weights.tile_quants),
            tile_quants: weights.tile_quants,
            meta: weights.meta.as_ptr().add(tile * weights.tile_meta),
            tile_meta: weights.tile_meta,
            bytes: task.x.quants.bytes.as_ptr().add(row * k),
            task,
            k,
            n_blocks: k / BLOCK,
            row,
        }
    };
    let mut sums = [[_mm512_setzero_ps(); NT]; MR];
    let mut block = 0;
    while block < source.n_blocks {
        // SAFETY: the block exists; a Q6_K row has an even number of them.
        unsafe {
            if D == Q6_K {
                half_block::<false, false, MR, NT>(&source, block, &mut sums);
                half_block::<false, true, MR, NT>(&source, block, &mut sums);
                half_block::<true, false, MR, NT>(&source, block + 1, &mut sums);
                half_block::<true, true, MR, NT>(&source, block + 1, &mut sums);
                block += 2;
            } else {
                whole_block::<D, MR, NT>(&source, block, &mut sums);
                block += 1;
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (j, sums) in sums.into_iter().enumerate() {
            // SAFETY: passed on.
            unsafe { finish(task, row + i, tile + j, sums) };
        }
    }
}

/// 32 inputs of one scale.
///
/// # Safety
/// The block exists.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn whole_block<const D: u8, const MR: usize, const NT: usize>(
    source: &Source<'_>,
    block: usize,
    sums: &mut [[__m512; NT]; MR],
) {
    let x = &source.task.x.quants;
    let bytes_per_block = if D == Q8_0 { 512 } else { 256 };
    let mut dots = [[_mm512_setzero_si512(); NT]; MR];
    // SAFETY: the block's quants, activations, sums and scales lie inside their buffers.
    unsafe {
        for (i, dots) in dots.iter_mut().enumerate() {
            *dots = [start::<D>(*x.sums.get_unchecked((source.row + i) * source.n_blocks + block)); NT];
        }
        if MR == 1 {
            ahead::<NT>(source, block * bytes_per_block, bytes_per_block);
        }
        for g in 0..4 {
            let mut low = [_mm512_setzero_si512(); NT];
            let mut high = low;
            for j in 0..NT {
                let quants = source.quants.add(j * source.tile_quants + block * bytes_per_block);
                (low[j], high[j]) = groups::<D>(quants, g);
            }
            for (i, dots) in dots.iter_mut().enumerate() {
                let x = source.bytes.add(i * source.k + block * BLOCK + g * 4);
                let (first, second) = (four(x), four(x.add(16)));
                for j in 0..NT {
                    dots[j] = _mm512_dpbusd_epi32(dots[j], low[j], first);
                    dots[j] = _mm512_dpbusd_epi32(dots[j], high[j], second);
                }
            }
        }
        for j in 0..NT {
            let meta = source.meta.add(j * source.tile_meta);
            let (scale, minimum) = scales::<D>(meta, block);
            for i in 0..MR {
                let index = (source.row + i) * source.n_blocks + block;
                let by = _mm512_mul_ps(scale, _mm512_set1_ps(*x.scales.get_unchecked(index)));
                sums[i][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][j]), by, sums[i][j]);
                if D == Q4_K {
                    let scaled_sum = _mm512_set1_ps(*x.scaled_sums.get_unchecked(index));
                    sums[i][j] = _mm512_fnmadd_ps(minimum, scaled_sum, sums[i][j]);
                }
            }
        }
    }
}

/// 16 inputs of one scale: the first or the `SECOND` half of a block of `Q6_K`, which is in the lower or the `UPPER`
/// nibbles of its chunk.
///
/// # Safety
/// The block exists.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn half_block<const UPPER: bool, const SECOND: bool, const MR: usize, const NT: usize>(
    source: &Source<'_>,
    block: usize,
    sums: &mut [[__m512; NT]; MR],
) {
    let x = &source.task.x.quants;
    let half = block * 2 + usize::from(SECOND);
    let chunk = block / 2 * 768;
    let mut dots = [[_mm512_setzero_si512(); NT]; MR];
    // SAFETY: the block's quants, activations, sums and scales lie inside their buffers.
    unsafe {
        for (i, dots) in dots.iter_mut().enumerate() {
            let sum = *x.half_sums.get_unchecked((source.row + i) * source.n_blocks * 2 + half);
            *dots = [start::<Q6_K>(sum); NT];
        }
        if MR == 1 && !UPPER && !SECOND {
            ahead::<NT>(source, chunk, 768);
        }
        for g in 0..4 {
            let mut quants = [_mm512_setzero_si512(); NT];
            for (j, quants) in quants.iter_mut().enumerate() {
                *quants = six_bits::<UPPER, SECOND>(source.quants.add(j * source.tile_quants + chunk), g);
            }
            for (i, dots) in dots.iter_mut().enumerate() {
                let x = four(source.bytes.add(i * source.k + half * 16 + g * 4));
                for j in 0..NT {
                    dots[j] = _mm512_dpbusd_epi32(dots[j], quants[j], x);
                }
            }
        }
        for j in 0..NT {
            let scale = half_scale(source.meta.add(j * source.tile_meta), half);
            for i in 0..MR {
                let index = (source.row + i) * source.n_blocks + block;
                let by = _mm512_mul_ps(scale, _mm512_set1_ps(*x.scales.get_unchecked(index)));
                sums[i][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][j]), by, sums[i][j]);
            }
        }
    }
}

/// How much larger than the weights the stored quants are.
const fn offset(dtype: u8) -> i32 {
    match dtype {
        Q8_0 => 128,
        Q4_0 => 8,
        Q6_K => 32,
        _ => 0,
    }
}

/// Where the sum of a block starts: the sum of the activations, times the offset of the quants, is taken off.
#[inline]
#[target_feature(enable = "avx512f")]
fn start<const D: u8>(sum: i32) -> __m512i {
    _mm512_set1_epi32(-offset(D) * sum)
}

/// Quants without their offset.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(in crate::matmul) fn signed<const D: u8>(quants: __m512i) -> __m512i {
    _mm512_sub_epi8(quants, _mm512_set1_epi8(offset(D) as u8 as i8))
}

/// Weights of inputs `4g..` and `16 + 4g..` of a block.
///
/// # Safety
/// `quants` points to the block's quants.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(in crate::matmul) unsafe fn groups<const D: u8>(quants: *const u8, g: usize) -> (__m512i, __m512i) {
    // SAFETY: a block has 8 vectors in Q8_0 and 4 otherwise.
    unsafe {
        if D == Q8_0 {
            (vector(quants.add(g * 64)), vector(quants.add((g + 4) * 64)))
        } else {
            let both = vector(quants.add(g * 64));
            let nibble = _mm512_set1_epi8(15);
            (_mm512_and_si512(both, nibble), _mm512_and_si512(_mm512_srli_epi16::<4>(both), nibble))
        }
    }
}

/// Weights of inputs `4g..` of a half-block of `Q6_K`.
///
/// # Safety
/// `chunk` points to the chunk's quants.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(in crate::matmul) unsafe fn six_bits<const UPPER: bool, const SECOND: bool>(chunk: *const u8, g: usize) -> __m512i {
    // SAFETY: a chunk has 8 vectors of nibbles and 4 of bit pairs.
    let (low, high) =
        unsafe { (vector(chunk.add((g + usize::from(SECOND) * 4) * 64)), vector(chunk.add(512 + g * 64))) };
    let low = if UPPER { _mm512_srli_epi16::<4>(low) } else { low };
    let high = match (UPPER, SECOND) {
        (false, false) => _mm512_slli_epi16::<4>(high),
        (false, true) => _mm512_slli_epi16::<2>(high),
        (true, false) => high,
        (true, true) => _mm512_srli_epi16::<2>(high),
    };
    // Bits 0 to 3 from `low`, the others from `high`; of those only 4 and 5 are its own.
    let joined = _mm512_ternarylogic_epi32::<0xCA>(_mm512_set1_epi8(15), low, high);
    _mm512_and_si512(joined, _mm512_set1_epi8(0x3f))
}

/// Scales and minima (of `Q4_K`) of a block.
///
/// # Safety
/// `meta` points to the tile's meta, which has the block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(in crate::matmul) unsafe fn scales<const D: u8>(meta: *const u8, block: usize) -> (__m512, __m512) {
    // SAFETY: 32 bytes per block, or 320 per eight blocks.
    unsafe {
        if D == Q4_K {
            let (meta, sub) = (meta.add(block / 8 * 320), block % 8);
            let scale = _mm512_mul_ps(halfs(meta.add(256)), bytes(meta.add(sub * TILE)));
            let minimum = _mm512_mul_ps(halfs(meta.add(288)), bytes(meta.add(128 + sub * TILE)));
            (scale, minimum)
        } else {
            (halfs(meta.add(block * 32)), _mm512_setzero_ps())
        }
    }
}

/// Scales of a half-block of `Q6_K`.
///
/// # Safety
/// `meta` points to the tile's meta, which has the half-block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(in crate::matmul) unsafe fn half_scale(meta: *const u8, half: usize) -> __m512 {
    // SAFETY: 320 bytes per 16 halves.
    unsafe {
        let meta = meta.add(half / 16 * 320);
        _mm512_mul_ps(halfs(meta.add(256)), signed_bytes(meta.add(half % 16 * TILE)))
    }
}

/// Fetches what will be read [`AHEAD`] bytes later.
///
/// # Safety
/// None: a prefetch does not fault.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn ahead<const NT: usize>(source: &Source<'_>, at: usize, bytes: usize) {
    for j in 0..NT {
        for line in (0..bytes).step_by(64) {
            let address = source.quants.wrapping_add(j * source.tile_quants + at + AHEAD + line);
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn vector(at: *const u8) -> __m512i {
    // SAFETY: the caller's pointer has 64 bytes.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

/// Four activations, in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn four(at: *const i8) -> __m512i {
    // SAFETY: the caller's pointer has 4 bytes.
    _mm512_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halfs(at: *const u8) -> __m512 {
    // SAFETY: the caller's pointer has 32 bytes.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bytes(at: *const u8) -> __m512 {
    // SAFETY: the caller's pointer has 16 bytes.
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn signed_bytes(at: *const u8) -> __m512 {
    // SAFETY: the caller's pointer has 16 bytes.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}
