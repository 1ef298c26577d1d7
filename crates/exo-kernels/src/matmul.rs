//! Products of activations and weights.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use std::ops::Range;

use crate::activations::{Activations, Format};
use crate::cpu::Cpu;
use crate::isa::Isa;
use crate::share::Shared;
use crate::weights::Weights;

/// One product: `out[row, output] (+)= sum over inputs of x[row, input] * weights[output, input]`.
#[derive(Debug)]
pub struct Product<'a> {
    weights: &'a Weights,
    out: &'a mut [f32],
    add: bool,
}

impl<'a> Product<'a> {
    /// Overwrites `out`, rows of [`Weights::n`] outputs.
    pub fn write(weights: &'a Weights, out: &'a mut [f32]) -> Self {
        Self { weights, out, add: false }
    }

    /// Adds to `out`: for the residual stream.
    pub fn add(weights: &'a Weights, out: &'a mut [f32]) -> Self {
        Self { weights, out, add: true }
    }
}

/// A product as the kernels see it.
pub(crate) struct Task<'a> {
    pub(crate) weights: &'a Weights,
    pub(crate) x: &'a Activations,
    out: Shared<'a, f32>,
    add: bool,
}

impl Task<'_> {
    /// How many of the first rows are in panels for tile registers.
    #[cfg(target_arch = "x86_64")]
    fn panel_rows(&self) -> usize {
        if self.weights.format() == Format::Q8 { self.x.quants.panels.rows } else { 0 }
    }

    /// Hands over the sums of outputs from `first` on for one row; those behind the last output are dropped.
    ///
    /// # Safety
    /// No other thread has these outputs.
    #[inline(always)]
    unsafe fn finish(&self, row: usize, first: usize, sums: &[f32]) {
        let n = self.weights.n;
        let (start, end) = (first.min(n), n.min(first + sums.len()));
        // SAFETY: the caller's promise.
        let out = unsafe { self.out.part(row * n + start..row * n + end) };
        if self.add {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        } else {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum);
        }
    }
}

/// Computes products that read the same activations, in one pass over the threads.
///
/// # Panics
/// If an `out` does not have `rows * n` elements, or the activations were not filled for one of the weights.
pub fn matmul(cpu: &Cpu, x: &Activations, products: &mut [Product<'_>]) {
    let tasks: Vec<Task<'_>> = products.iter_mut().map(|product| task(x, product)).collect();
    let n_tiles: usize = tasks.iter().map(|task| task.weights.n_tiles()).sum();
    // Kernels take several tiles at once; but every thread shall have some.
    let grain = if x.m > 1 { 8 } else { 4 };
    cpu.pool().chunks(n_tiles, (n_tiles / cpu.pool().threads()).clamp(1, grain), |_, range| {
        let mut first = 0;
        for task in &tasks {
            let end = first + task.weights.n_tiles();
            let mine = range.start.max(first)..range.end.min(end);
            if !mine.is_empty() {
                tiles(cpu, task, mine.start - first..mine.end - first);
            }
            first = end;
        }
    });
}

fn task<'a>(x: &'a Activations, product: &'a mut Product<'_>) -> Task<'a> {
    let weights = product.weights;
    assert_eq!(x.k, weights.k, "activations and weights have the same inputs");
    assert!(x.has(weights.format()), "activations were filled for {} weights", weights.dtype);
    assert_eq!(product.out.len(), x.m * weights.n, "out has {} rows of {}", x.m, weights.n);
    Task { weights, x, out: Shared::new(product.out), add: product.add }
}

/// All rows of some tiles.
fn tiles(cpu: &Cpu, task: &Task<'_>, tiles: Range<usize>) {
    match cpu.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every machine with AVX-512 has AVX2 (see `Isa::checked`), and `matmul` hands every tile to one thread.
        Isa::Amx | Isa::Avx512 if task.weights.is_for_avx2() => unsafe { avx2::tiles(task, tiles) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the `Cpu` was made for this instruction set, and `matmul` hands every tile to one thread.
        Isa::Amx if task.panel_rows() > 0 => unsafe {
            amx::tiles(task, tiles.clone());
            avx512::tiles(task, tiles, task.panel_rows());
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Amx | Isa::Avx512 => unsafe { avx512::tiles(task, tiles, 0) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::tiles(task, tiles) },
        _ => portable::tiles(task, tiles),
    }
}
