//! Rotary position embedding.

use crate::cpu::Cpu;
use crate::share::Shared;

/// Which elements of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeStyle {
    /// Elements `2i` and `2i + 1`: Llama in GGUF files.
    Interleaved,
    /// Elements `i` and `i + dims / 2`: Qwen, Gemma, Phi and others ("neox").
    HalfSplit,
}

/// The frequencies of a model.
#[derive(Clone, Debug)]
pub struct Rope {
    style: RopeStyle,
    /// Radians per position, of each pair.
    frequencies: Vec<f64>,
    /// Rotated elements grow by this.
    magnitude: f64,
}

/// Cosines and sines of the positions of one forward pass: computed once, used by every layer.
#[derive(Debug, Default)]
pub struct RopeTable {
    pairs: usize,
    /// Per row and pair.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// Pair `i` turns by `position * frequencies[i]` radians, and its length is multiplied by `magnitude`, which is 1 but
    /// for some extensions of the context.
    pub fn new(style: RopeStyle, frequencies: Vec<f64>, magnitude: f32) -> Self {
        Self { style, frequencies, magnitude: f64::from(magnitude) }
    }

    /// Fills the table for rows at these positions.
    pub fn fill(&self, table: &mut RopeTable, positions: &[u32]) {
        table.pairs = self.frequencies.len();
        table.cos.clear();
        table.sin.clear();
        for &position in positions {
            for frequency in &self.frequencies {
                let (sin, cos) = (f64::from(position) * frequency).sin_cos();
                table.cos.push((cos * self.magnitude) as f32);
                table.sin.push((sin * self.magnitude) as f32);
            }
        }
    }

    /// Rotates every head of every row of `x`, in place; elements of a head behind the rotated ones stay.
    ///
    /// # Panics
    /// If `x` is not as many rows of `n_heads * head_dim` as the table has positions.
    pub fn apply(&self, cpu: &Cpu, table: &RopeTable, x: &mut [f32], n_heads: usize, head_dim: usize) {
        let (width, pairs) = (n_heads * head_dim, self.frequencies.len());
        assert!(pairs * 2 <= head_dim && table.pairs == pairs, "heads of {head_dim}, table for {} pairs", table.pairs);
        let n_rows = table.cos.len() / pairs.max(1);
        assert_eq!(x.len(), n_rows * width, "{n_rows} rows of {width}");
        let x = Shared::new(x);
        cpu.pool().chunks(n_rows, (16_384 / width).max(1), |_, rows| {
            for row in rows {
                let (cos, sin) = (&table.cos[row * pairs..][..pairs], &table.sin[row * pairs..][..pairs]);
                // SAFETY: every row is handed out once.
                let heads = unsafe { x.part(row * width..(row + 1) * width) };
                for head in heads.chunks_exact_mut(head_dim) {
                    match self.style {
                        RopeStyle::Interleaved => interleaved(head, cos, sin),
                        RopeStyle::HalfSplit => half_split(head, cos, sin),
                    }
                }
            }
        });
    }
}

fn interleaved(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    for ((pair, cos), sin) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
        let [a, b] = *pair;
        *pair = [a * cos - b * sin, a * sin + b * cos];
    }
}

fn half_split(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}
