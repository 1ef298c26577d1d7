//! What a device must be able to do for the decoder: a handful of operations on rows of numbers.
//!
//! A stage is written against this trait only. Buffers stay on the device between operations; `write` and `read` are
//! the only ways in and out.

use std::ops::Range;

use exo_kernels::KvFormat;
use exo_weights::Tensor;
use thiserror::Error;

use crate::config::{Activation, RopeConfig};

pub(crate) mod cpu;

pub use cpu::CpuDevice;

/// A device that could not do what a stage needs.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// A tensor in a format that the device has no kernel for.
    #[error("tensor {name} is stored as {dtype}; use a file in {supported}")]
    TensorType {
        /// The tensor.
        name: String,
        /// Its format.
        dtype: &'static str,
        /// Formats that work.
        supported: String,
    },
    /// A tensor that cannot be laid out for the kernels.
    #[error("tensor {name}: {reason}")]
    Layout {
        /// The tensor.
        name: String,
        /// What the kernels say.
        reason: String,
    },
    /// An instruction set, a driver or a card that is not there.
    #[error("{0}")]
    Unavailable(String),
    /// No memory.
    #[error("the device has no {bytes} bytes left; lower the context or the number of sequences, or use more nodes")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
    },
}

/// A matrix as a stage wants it: a part of a stored tensor. Fused tensors and experts are cut by rows, and the shares of
/// tensor-parallel ranks by either.
#[derive(Debug, Clone)]
pub struct MatrixPart<'a> {
    /// Where it is stored; dimensions behind the second count as rows.
    pub tensor: Tensor<'a>,
    /// Outputs.
    pub rows: Range<usize>,
    /// Inputs; both ends are multiples of the format's block.
    pub columns: Range<usize>,
}

impl<'a> MatrixPart<'a> {
    /// Whole rows.
    pub fn rows_of(tensor: Tensor<'a>, rows: Range<usize>) -> Self {
        Self { tensor, rows, columns: 0..tensor.row_elements() }
    }

    /// Some of its rows, counted from its first.
    pub fn sub_rows(self, rows: Range<usize>) -> Self {
        let first = self.rows.start;
        Self { rows: first + rows.start..first + rows.end, ..self }
    }

    /// Size of its rows, with the columns that it does not have.
    pub fn bytes(&self) -> u64 {
        self.rows.len() as u64 * self.tensor.row_bytes() as u64
    }
}

/// Sizes of the attention of a stage, the same in all its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionSizes {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Positions of a sequence.
    pub context: usize,
    /// Sequences that a cache holds.
    pub slots: usize,
    /// How keys and values are kept.
    pub format: KvFormat,
}

/// The rows of one sequence in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Cache slot.
    pub slot: usize,
    /// Position of the first row in its sequence.
    pub start: usize,
    /// First row in the batch.
    pub first_row: usize,
    /// Number of rows.
    pub rows: usize,
}

/// Query, key and value rows of one layer; `query` and `key` are turned in place.
#[derive(Debug)]
pub struct Heads<'a, B> {
    /// Rows of `heads · head_width`.
    pub query: &'a mut B,
    /// Rows of `kv_heads · head_width`.
    pub key: &'a mut B,
    /// Rows of `kv_heads · head_width`.
    pub value: &'a B,
}

/// How scores of one layer become weights.
#[derive(Debug)]
pub struct AttentionRule<'a, B> {
    /// Factor of the scores.
    pub scale: f32,
    /// Scores become `cap · tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// Positions that a row sees, its own included; `None` is all before it.
    pub window: Option<usize>,
    /// One row of scores, one for each query head, that take weight and give nothing.
    pub sinks: Option<&'a B>,
    /// A row sees all of its sequence, what comes behind it too. There is no window then.
    pub sees_ahead: bool,
}

/// The operations. Sizes always fit: the stage checked plans and shapes before.
///
/// For each row, the numbers do not depend on the other rows of the batch.
pub trait Device: Send + Sized {
    /// A weight matrix in the layout of the device's kernels.
    type Weights: Send;
    /// Rows of numbers on the device.
    type Buffer: Send;
    /// Keys and values of one layer, for all slots.
    type Cache: Send;
    /// [`BLOCK`](crate::BLOCK) positions of a cache, which several of its slots may have in common. A clone is the same.
    type Block: Send + Clone;
    /// Tables of the rotary embedding.
    type Rotation: Send;

    /// Lays out a matrix.
    fn weights(&mut self, part: &MatrixPart<'_>) -> Result<Self::Weights, DeviceError>;

    /// An empty buffer with room for `rows` of `width`.
    fn buffer(&mut self, rows: usize, width: usize) -> Result<Self::Buffer, DeviceError>;

    /// An empty cache.
    fn cache(&mut self, sizes: AttentionSizes) -> Result<Self::Cache, DeviceError>;

    /// Bytes that `cache` takes.
    fn cache_bytes(sizes: AttentionSizes) -> u64;

    /// The positions of a slot from `part` · [`BLOCK`](crate::BLOCK) on, which it holds. They stay what they are, whatever
    /// becomes of the slot.
    fn block(&mut self, cache: &Self::Cache, slot: usize, part: usize) -> Self::Block;

    /// The slot takes these positions, which are the same, from a block, so that they are there once.
    fn replace_block(&mut self, cache: &mut Self::Cache, slot: usize, part: usize, block: &Self::Block);

    /// The slot holds these blocks, and nothing else.
    fn restore(&mut self, cache: &mut Self::Cache, slot: usize, blocks: Vec<Self::Block>);

    /// The frequencies; `factors` divide them, one for each pair of dimensions.
    fn rotation(&mut self, rope: &RopeConfig, factors: Option<&[f32]>) -> Self::Rotation;

    /// Prepares the tables for the rows of a step; `attend` is called for these rows until the next call.
    fn turn_to(&mut self, spans: &[Span], rotation: &mut Self::Rotation);

    /// Replaces the rows of `buffer` by `values`, which fit its room.
    fn write(&mut self, values: &[f32], buffer: &mut Self::Buffer);

    /// Copies all rows of `buffer`.
    fn read(&mut self, buffer: &Self::Buffer, values: &mut [f32]);

    /// `out` = rows of `x` divided by their root mean square, times `weight` (one row).
    fn rms_norm(&mut self, x: &Self::Buffer, weight: &Self::Buffer, epsilon: f32, out: &mut Self::Buffer);

    /// Normalises `x` in place, in rows as wide as `weight`, which may be parts of its own rows.
    fn rms_norm_in_place(&mut self, x: &mut Self::Buffer, weight: &Self::Buffer, epsilon: f32);

    /// Takes the mean of each row of `x` away, divides by the deviation, multiplies with `weight` and adds `bias` (one row
    /// each).
    fn layer_norm_in_place(&mut self, x: &mut Self::Buffer, weight: &Self::Buffer, bias: &Self::Buffer, epsilon: f32);

    /// Multiplies the rows of `x` with each matrix; replaces the rows of its buffer.
    fn products<const N: usize>(&mut self, x: &Self::Buffer, products: [(&Self::Weights, &mut Self::Buffer); N]);

    /// Multiplies the rows of `x` with `weights` and adds to the rows of `out`.
    fn add_product(&mut self, x: &Self::Buffer, weights: &Self::Weights, out: &mut Self::Buffer);

    /// `x` = GELU(`x`), as it is defined.
    fn gelu(&mut self, x: &mut Self::Buffer);

    /// `gate` = activation(`gate`) · `up`.
    fn gate(&mut self, activation: Activation, gate: &mut Self::Buffer, up: &Self::Buffer);

    /// Adds `row` to every row of `x`.
    fn add_to_rows(&mut self, x: &mut Self::Buffer, row: &Self::Buffer);

    /// `x` += `y`.
    fn add(&mut self, x: &mut Self::Buffer, y: &Self::Buffer);

    /// `x` = `cap` · tanh(`x` / `cap`).
    fn soft_cap(&mut self, x: &mut Self::Buffer, cap: f32);

    /// Replaces the rows of `out` by `rows` of `x`.
    fn gather(&mut self, x: &Self::Buffer, rows: &[usize], out: &mut Self::Buffer);

    /// Replaces the rows of `out` by those columns of the rows of `x`.
    fn columns(&mut self, x: &Self::Buffer, columns: Range<usize>, out: &mut Self::Buffer);

    /// Adds each row of `x`, times its weight, to the row of `out` named with it.
    fn scatter_add(&mut self, x: &Self::Buffer, rows: &[usize], weights: &[f32], out: &mut Self::Buffer);

    /// Sets as many rows of zeros.
    fn clear(&mut self, rows: usize, out: &mut Self::Buffer);

    /// Turns queries and keys where there is a rotation, stores keys and values in the cache in place of what was there from `start` on, and
    /// attends from every row to its sequence up to itself, or to all of it, as `rule` says. `out` gets rows of `heads · head_width`.
    fn attend(
        &mut self,
        spans: &[Span],
        rotation: Option<&Self::Rotation>,
        rule: &AttentionRule<'_, Self::Buffer>,
        heads: Heads<'_, Self::Buffer>,
        cache: &mut Self::Cache,
        out: &mut Self::Buffer,
    );
}
