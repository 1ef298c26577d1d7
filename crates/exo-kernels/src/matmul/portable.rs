//! Products in plain Rust.

use std::ops::Range;

use half::{bf16, f16};

use super::Task;
use crate::dtype::Layout;
use crate::weights::decode::half_at;
use crate::weights::{BLOCK, INT8_META, TILE, Weights};

/// Rows that share one unpacking of the weights.
const ROWS: usize = 8;
/// What nibbles of MXFP4 stand for, doubled.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
/// The sums of a tile.
type Lanes = [f32; TILE];

/// All rows of some tiles.
pub(super) fn tiles(task: &Task<'_>, tiles: Range<usize>) {
    for tile in tiles {
        for start in (0..task.x.m).step_by(ROWS) {
            let rows = start..task.x.m.min(start + ROWS);
            match task.weights.layout() {
                Layout::F32 => floats(task, tile, rows, |bytes: &[u8; 4]| f32::from_le_bytes(*bytes)),
                Layout::F16 => floats(task, tile, rows, |bytes: &[u8; 2]| f16::from_le_bytes(*bytes).to_f32()),
                Layout::BF16 => pairs(task, tile, rows),
                _ => quants(task, tile, rows),
            }
        }
    }
}

fn finish(task: &Task<'_>, tile: usize, rows: Range<usize>, sums: &[Lanes; ROWS]) {
    for (row, sums) in rows.zip(sums) {
        // SAFETY: `matmul` hands every tile to one thread.
        unsafe { task.finish(row, tile * TILE, sums) };
    }
}

fn floats<const WIDTH: usize>(task: &Task<'_>, tile: usize, rows: Range<usize>, read: impl Fn(&[u8; WIDTH]) -> f32) {
    let (k, x) = (task.x.k, &task.x.floats.values);
    let mut sums = [[0.0; TILE]; ROWS];
    for (i, vector) in task.weights.quants_of(tile).chunks_exact(TILE * WIDTH).enumerate() {
        let numbers = vector.as_chunks::<WIDTH>().0;
        let weights: Lanes = std::array::from_fn(|lane| read(&numbers[lane]));
        for (row, sums) in rows.clone().zip(&mut sums) {
            let x = x[row * k + i];
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * x);
        }
    }
    finish(task, tile, rows, &sums);
}

fn pairs(task: &Task<'_>, tile: usize, rows: Range<usize>) {
    let (stride, x) = (task.x.pair_stride(), &task.x.pairs.values);
    let both = |pair: [u8; 4]| [0, 2].map(|i| bf16::from_le_bytes([pair[i], pair[i + 1]]).to_f32());
    let mut sums = [[0.0; TILE]; ROWS];
    for (i, vector) in task.weights.quants_of(tile).chunks_exact(TILE * 4).enumerate() {
        let numbers = vector.as_chunks::<4>().0;
        let weights: [[f32; 2]; TILE] = std::array::from_fn(|lane| both(numbers[lane]));
        for (row, sums) in rows.clone().zip(&mut sums) {
            let x = both(x[row * stride + i].to_le_bytes());
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight[0] * x[0] + weight[1] * x[1]);
        }
    }
    finish(task, tile, rows, &sums);
}

/// A block of a tile, unpacked.
struct Unpacked {
    /// Per group of four inputs and lane, signed.
    weights: [[[i8; 4]; TILE]; BLOCK / 4],
    /// Of the first and the second 16 inputs.
    scales: [Lanes; 2],
    /// Of the block (`Q4_K`), or of its halves (`Int8`).
    minima: [Lanes; 2],
}

fn quants(task: &Task<'_>, tile: usize, rows: Range<usize>) {
    let (x, k) = (&task.x.quants, task.x.k);
    let n_blocks = k / BLOCK;
    let halves = task.weights.layout() == Layout::Q6_K;
    let mut sums = [[0.0; TILE]; ROWS];
    for block in 0..n_blocks {
        let unpacked = unpack(task.weights, tile, block);
        for (row, sums) in rows.clone().zip(&mut sums) {
            let bytes = &x.bytes[row * k + block * BLOCK..][..BLOCK];
            let scale = x.scales[row * n_blocks + block];
            let [first, second] = dot(&unpacked.weights, bytes);
            for lane in 0..TILE {
                if halves {
                    sums[lane] += first[lane] as f32 * (unpacked.scales[0][lane] * scale);
                    sums[lane] += second[lane] as f32 * (unpacked.scales[1][lane] * scale);
                } else {
                    sums[lane] += (first[lane] + second[lane]) as f32 * (unpacked.scales[0][lane] * scale);
                }
            }
            if task.weights.layout() == Layout::Q4_K {
                let scaled_sum = x.scaled_sums[row * n_blocks + block];
                take_off(sums, &unpacked.minima[0], scaled_sum);
            }
            if task.weights.layout() == Layout::Int8 {
                for (half, minima) in unpacked.minima.iter().enumerate() {
                    take_off(sums, minima, scale * x.half_sums[(row * n_blocks + block) * 2 + half] as f32);
                }
            }
        }
    }
    finish(task, tile, rows, &sums);
}

fn take_off(sums: &mut Lanes, minima: &Lanes, scaled_sum: f32) {
    sums.iter_mut().zip(minima).for_each(|(sum, minimum)| *sum -= minimum * scaled_sum);
}

/// The sums over the first and the second 16 inputs.
fn dot(weights: &[[[i8; 4]; TILE]; BLOCK / 4], x: &[i8]) -> [[i32; TILE]; 2] {
    let mut sums = [[0; TILE]; 2];
    for (group, (weights, x)) in weights.iter().zip(x.as_chunks::<4>().0).enumerate() {
        for (sum, weights) in sums[group / 4].iter_mut().zip(weights) {
            *sum += weights.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>();
        }
    }
    sums
}

fn unpack(weights: &Weights, tile: usize, block: usize) -> Unpacked {
    let (quants, meta) = (weights.quants_of(tile), weights.meta_of(tile));
    match weights.layout() {
        Layout::Q8_0 => unpacked(|g, lane, j| byte(&quants[block * 512..], g, lane, j), halfs(&meta[block * 32..])),
        Layout::Int8 => {
            let meta = &meta[block * INT8_META..][..INT8_META];
            let [scales, first, second] = [0, 1, 2].map(|part| floats_at(&meta[part * TILE * 4..]));
            Unpacked {
                minima: [first, second],
                ..unpacked(|g, lane, j| byte(&quants[block * 512..], g, lane, j), scales)
            }
        }
        Layout::Mxfp4 => {
            let value = |g: usize, lane: usize, j: usize| E2M1[nibble(&quants[block * 256..], g, lane, j) as usize];
            unpacked(value, std::array::from_fn(|lane| half_of_power(meta[block * TILE + lane])))
        }
        Layout::Q4_0 => {
            unpacked(|g, lane, j| nibble(&quants[block * 256..], g, lane, j) - 8, halfs(&meta[block * 32..]))
        }
        Layout::Q4_K => {
            let (meta, sub) = (&meta[block / 8 * 320..], block % 8);
            let scaled = |bytes: &[u8], unit: Lanes| std::array::from_fn(|lane| unit[lane] * f32::from(bytes[lane]));
            let scales = scaled(&meta[sub * TILE..], halfs(&meta[256..]));
            let minima = scaled(&meta[128 + sub * TILE..], halfs(&meta[288..]));
            Unpacked {
                minima: [minima; 2],
                ..unpacked(|g, lane, j| nibble(&quants[block * 256..], g, lane, j), scales)
            }
        }
        _ => q6_k(&quants[block / 2 * 768..], &meta[block / 8 * 320..], block),
    }
}

fn q6_k(chunk: &[u8], meta: &[u8], block: usize) -> Unpacked {
    // Blocks 2c and 2c + 1 are the lower and the upper nibbles of chunk c.
    let upper = block % 2;
    let value = |g: usize, lane: usize, j: usize| {
        let low = chunk[(g * TILE + lane) * 4 + j] >> (upper * 4) & 15;
        let high = chunk[512 + (g % 4 * TILE + lane) * 4 + j] >> (upper * 4 + g / 4 * 2) & 3;
        (low | high << 4).cast_signed() - 32
    };
    let unit = halfs(&meta[256..]);
    let scales = |half: usize| {
        let bytes = &meta[(block % 8 * 2 + half) * TILE..];
        std::array::from_fn(|lane| unit[lane] * f32::from(bytes[lane].cast_signed()))
    };
    Unpacked { scales: [scales(0), scales(1)], ..unpacked(value, unit) }
}

fn unpacked(value: impl Fn(usize, usize, usize) -> i8, scales: Lanes) -> Unpacked {
    let weights = std::array::from_fn(|g| std::array::from_fn(|lane| std::array::from_fn(|j| value(g, lane, j))));
    Unpacked { weights, scales: [scales, scales], minima: [[0.0; TILE]; 2] }
}

fn nibble(quants: &[u8], g: usize, lane: usize, j: usize) -> i8 {
    (quants[(g % 4 * TILE + lane) * 4 + j] >> (g / 4 * 4) & 15).cast_signed()
}

fn byte(quants: &[u8], g: usize, lane: usize, j: usize) -> i8 {
    (quants[(g * TILE + lane) * 4 + j] ^ 0x80).cast_signed()
}

/// Half of two to the power of `exponent - 127`.
fn half_of_power(exponent: u8) -> f32 {
    // The first two are below the smallest normal number.
    if exponent < 2 { f32::from_bits(0x0020_0000 << exponent) } else { f32::from_bits(u32::from(exponent - 1) << 23) }
}

fn floats_at(bytes: &[u8]) -> Lanes {
    std::array::from_fn(|lane| f32::from_le_bytes(bytes.as_chunks::<4>().0[lane]))
}

fn halfs(bytes: &[u8]) -> Lanes {
    std::array::from_fn(|lane| half_at(bytes, lane * 2))
}
