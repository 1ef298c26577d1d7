//! The inputs of products, in the number formats that the weights want.

mod convert;

use std::ops::Range;

use self::convert::{Blocks, QuantRow, bf16_row, quantize_row};
use crate::cpu::Cpu;
use crate::isa::Isa;
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

/// Rows per panel: of a tile register.
pub(crate) const PANEL: usize = 16;
/// Fewer rows than this are not worth a panel: a panel costs the same for one row as for sixteen.
const LEAST_PANEL: usize = 6;

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
    pub(crate) panels: Panels,
}

/// The same rows in panels of 16, block by block: for tile registers, which want the rows of a block side by side.
#[derive(Debug, Default)]
pub(crate) struct Panels {
    /// The first so many rows are in panels.
    pub(crate) rows: usize,
    n_blocks: usize,
    bytes: Vec<[i8; PANEL * BLOCK]>,
    scales: Vec<[f32; PANEL]>,
    sums: Vec<[i32; PANEL]>,
    half_sums: Vec<[[i32; PANEL]; 2]>,
    scaled_sums: Vec<[f32; PANEL]>,
}

/// Some blocks of one panel.
pub(crate) struct PanelBlocks<'a> {
    /// Row after row.
    pub(crate) bytes: &'a [[i8; PANEL * BLOCK]],
    pub(crate) scales: &'a [[f32; PANEL]],
    pub(crate) sums: &'a [[i32; PANEL]],
    pub(crate) half_sums: &'a [[[i32; PANEL]; 2]],
    pub(crate) scaled_sums: &'a [[f32; PANEL]],
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
        let for_avx2 = readers.iter().any(|weights| weights.is_for_avx2());
        self.fill_quants(wanted(Format::Q8), for_avx2, cpu, x);
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
                bf16_row(cpu.isa(), &x[row * k..(row + 1) * k], out);
            }
        });
    }

    fn fill_quants(&mut self, wanted: bool, for_avx2: bool, cpu: &Cpu, x: &[f32]) {
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
                        blocks: Blocks {
                            scales: scales.part(row * blocks..(row + 1) * blocks),
                            sums: sums.part(row * blocks..(row + 1) * blocks),
                            half_sums: half_sums.part(row * blocks * 2..(row + 1) * blocks * 2),
                            scaled_sums: scaled_sums.part(row * blocks..(row + 1) * blocks),
                        },
                    }
                };
                quantize_row(cpu.isa(), &x[row * k..(row + 1) * k], out);
            }
        });
        let isa = if for_avx2 && cpu.isa() == Isa::Avx512 { Isa::Avx2 } else { cpu.isa() };
        self.quants.fill_panels(cpu, panel_rows(isa, m), k);
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

impl Quants {
    fn fill_panels(&mut self, cpu: &Cpu, rows: usize, k: usize) {
        let n_blocks = k / BLOCK;
        let panels = &mut self.panels;
        (panels.rows, panels.n_blocks) = (rows, n_blocks);
        let n = panels.n_panels() * n_blocks;
        panels.bytes.resize(n, [0; PANEL * BLOCK]);
        panels.scales.resize(n, [0.0; PANEL]);
        panels.sums.resize(n, [0; PANEL]);
        panels.half_sums.resize(n, [[0; PANEL]; 2]);
        panels.scaled_sums.resize(n, [0.0; PANEL]);
        let n_panels = panels.n_panels();
        let (bytes, scales) = (Shared::new(&mut panels.bytes), Shared::new(&mut panels.scales));
        let (sums, half_sums) = (Shared::new(&mut panels.sums), Shared::new(&mut panels.half_sums));
        let scaled_sums = Shared::new(&mut panels.scaled_sums);
        cpu.pool().chunks(n_panels, 1, |_, range| {
            for panel in range {
                let part = panel * n_blocks..(panel + 1) * n_blocks;
                // SAFETY: every panel has its own parts and is handed out once.
                let (bytes, scales) = unsafe { (bytes.part(part.clone()), scales.part(part.clone())) };
                // SAFETY: as above.
                let (sums, half_sums) = unsafe { (sums.part(part.clone()), half_sums.part(part.clone())) };
                // SAFETY: as above.
                let scaled_sums = unsafe { scaled_sums.part(part) };
                // A last panel with fewer rows computes with what was there, and nobody reads those sums.
                for row in panel * PANEL..rows.min((panel + 1) * PANEL) {
                    let lane = row % PANEL;
                    let stored = self.bytes[row * k..][..k].as_chunks::<BLOCK>().0;
                    for (block, stored) in stored.iter().enumerate() {
                        bytes[block][lane * BLOCK..][..BLOCK].copy_from_slice(stored);
                        let index = row * n_blocks + block;
                        scales[block][lane] = self.scales[index];
                        sums[block][lane] = self.sums[index];
                        half_sums[block][0][lane] = self.half_sums[index * 2];
                        half_sums[block][1][lane] = self.half_sums[index * 2 + 1];
                        scaled_sums[block][lane] = self.scaled_sums[index];
                    }
                }
            }
        });
    }
}

impl Panels {
    pub(crate) fn n_panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    pub(crate) fn blocks(&self, panel: usize, blocks: Range<usize>) -> PanelBlocks<'_> {
        let part = panel * self.n_blocks + blocks.start..panel * self.n_blocks + blocks.end;
        PanelBlocks {
            bytes: &self.bytes[part.clone()],
            scales: &self.scales[part.clone()],
            sums: &self.sums[part.clone()],
            half_sums: &self.half_sums[part.clone()],
            scaled_sums: &self.scaled_sums[part],
        }
    }
}

/// How many of the first rows go into panels. Tile registers are left to whole panels; what multiplies rows four by four
/// needs no more than two of them to be faster than one by one.
fn panel_rows(isa: Isa, m: usize) -> usize {
    let whole = m / PANEL * PANEL;
    match isa {
        Isa::Amx if m - whole < LEAST_PANEL => whole,
        Isa::Amx => m,
        Isa::Avx2 if m > 1 => m,
        Isa::Avx2 | Isa::Avx512 | Isa::Portable => 0,
    }
}

/// Below this many inputs another thread costs more than it brings.
fn rows_per_chunk(k: usize) -> usize {
    (8192 / k).max(1)
}
