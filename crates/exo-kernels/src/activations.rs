//! The inputs of products, in the number formats that the weights want.

use half::bf16;

use crate::cpu::Cpu;
use crate::share::Shared;
use crate::weights::{BLOCK, Weights};

/// A number format of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As they are: for `F32` and `F16` weights.
    F32,
    /// Rounded to bf16: for `BF16` weights.
    Bf16,
    /// Signed bytes with a scale per 32: for quantised weights.
    Q8,
}

/// Rows of inputs, converted once for all products that read them.
///
/// Reused from call to call: it only allocates when it grows.
#[derive(Debug, Default)]
pub struct Activations {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) floats: Rows<f32>,
    pub(crate) pairs: Rows<u32>,
    pub(crate) quants: Quants,
}

/// One format's rows, `filled` if it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Rows<T> {
    pub(crate) filled: bool,
    pub(crate) values: Vec<T>,
}

/// Per row: `k` signed bytes, and per block of 32 the scale, the sum of the bytes as integers (`sums`), of each half
/// of them (`half_sums`, two per block), and scale times sum (`scaled_sums`).
#[derive(Debug, Default)]
pub(crate) struct Quants {
    pub(crate) filled: bool,
    pub(crate) bytes: Vec<i8>,
    pub(crate) scales: Vec<f32>,
    pub(crate) sums: Vec<i32>,
    pub(crate) half_sums: Vec<i32>,
    pub(crate) scaled_sums: Vec<f32>,
}

impl Activations {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Converts `x`, rows of as many inputs as the weights have, into every format that `readers` want.
    ///
    /// # Panics
    /// If `x` is no whole number of rows, or the readers do not all have the same number of inputs.
    pub fn fill(&mut self, cpu: &Cpu, x: &[f32], readers: &[&Weights]) {
        let k = readers.first().map_or(x.len(), |weights| weights.k());
        assert!(readers.iter().all(|weights| weights.k() == k), "products that share inputs have {k} of them");
        assert!(k > 0 && x.len().is_multiple_of(k), "{} inputs are no whole rows of {k}", x.len());
        (self.m, self.k) = (x.len() / k, k);
        let wanted = |format| readers.iter().any(|weights| weights.format() == format);
        self.fill_floats(wanted(Format::F32), x);
        self.fill_pairs(wanted(Format::Bf16), cpu, x);
        self.fill_quants(wanted(Format::Q8), cpu, x);
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.m
    }

    pub(crate) fn has(&self, format: Format) -> bool {
        match format {
            Format::F32 => self.floats.filled,
            Format::Bf16 => self.pairs.filled,
            Format::Q8 => self.quants.filled,
        }
    }

    fn fill_floats(&mut self, wanted: bool, x: &[f32]) {
        self.floats.filled = wanted;
        if wanted {
            self.floats.values.clear();
            self.floats.values.extend_from_slice(x);
        }
    }

    fn fill_pairs(&mut self, wanted: bool, cpu: &Cpu, x: &[f32]) {
        self.pairs.filled = wanted;
        if !wanted {
            return;
        }
        let (m, k, width) = (self.m, self.k, self.pair_stride());
        self.pairs.values.resize(m * width, 0);
        let pairs = Shared::new(&mut self.pairs.values);
        cpu.pool().chunks(m, rows_per_chunk(k), |_, rows| {
            for row in rows {
                // SAFETY: every row has its own part and is handed out once.
                let out = unsafe { pairs.part(row * width..(row + 1) * width) };
                bf16_row(&x[row * k..(row + 1) * k], out);
            }
        });
    }

    fn fill_quants(&mut self, wanted: bool, cpu: &Cpu, x: &[f32]) {
        self.quants.filled = wanted;
        if !wanted {
            return;
        }
        let (m, k) = (self.m, self.k);
        let blocks = k / BLOCK;
        self.quants.resize(m, k);
        let Quants { bytes, scales, sums, half_sums, scaled_sums, .. } = &mut self.quants;
        let (bytes, scales, sums) = (Shared::new(bytes), Shared::new(scales), Shared::new(sums));
        let (half_sums, scaled_sums) = (Shared::new(half_sums), Shared::new(scaled_sums));
        cpu.pool().chunks(m, rows_per_chunk(k), |_, rows| {
            for row in rows {
                // SAFETY: every row has its own parts and is handed out once.
                let out = unsafe {
                    QuantRow {
                        bytes: bytes.part(row * k..(row + 1) * k),
                        scales: scales.part(row * blocks..(row + 1) * blocks),
                        sums: sums.part(row * blocks..(row + 1) * blocks),
                        half_sums: half_sums.part(row * blocks * 2..(row + 1) * blocks * 2),
                        scaled_sums: scaled_sums.part(row * blocks..(row + 1) * blocks),
                    }
                };
                quantize_row(&x[row * k..(row + 1) * k], out);
            }
        });
    }

    /// Pairs per row.
    pub(crate) fn pair_stride(&self) -> usize {
        self.k.div_ceil(2)
    }
}

impl Quants {
    fn resize(&mut self, m: usize, k: usize) {
        let blocks = k / BLOCK;
        self.bytes.resize(m * k, 0);
        self.scales.resize(m * blocks, 0.0);
        self.sums.resize(m * blocks, 0);
        self.half_sums.resize(m * blocks * 2, 0);
        self.scaled_sums.resize(m * blocks, 0.0);
    }
}

/// Where one quantised row goes.
struct QuantRow<'a> {
    bytes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
    half_sums: &'a mut [i32],
    scaled_sums: &'a mut [f32],
}

/// Below this many inputs another thread costs more than it brings.
fn rows_per_chunk(k: usize) -> usize {
    (8192 / k).max(1)
}

fn bf16_row(x: &[f32], out: &mut [u32]) {
    let bits = |value: f32| u32::from(bf16::from_f32(value).to_bits());
    for (pair, out) in x.chunks(2).zip(out) {
        *out = bits(pair[0]) | pair.get(1).map_or(0, |&value| bits(value) << 16);
    }
}

fn quantize_row(x: &[f32], out: QuantRow<'_>) {
    for (index, (x, bytes)) in x.as_chunks::<BLOCK>().0.iter().zip(out.bytes.as_chunks_mut::<BLOCK>().0).enumerate() {
        let largest = x.iter().fold(0.0f32, |a, &v| a.max(v.abs()));
        let (scale, by) = (largest / 127.0, if largest > 0.0 { 127.0 / largest } else { 0.0 });
        for (byte, &value) in bytes.iter_mut().zip(x) {
            *byte = (value * by).round_ties_even() as i8;
        }
        let sum = |half: &[i8]| half.iter().map(|&byte| i32::from(byte)).sum::<i32>();
        let halves = [sum(&bytes[..16]), sum(&bytes[16..])];
        out.scales[index] = scale;
        out.sums[index] = halves[0] + halves[1];
        out.half_sums[index * 2..][..2].copy_from_slice(&halves);
        out.scaled_sums[index] = scale * (halves[0] + halves[1]) as f32;
    }
}
