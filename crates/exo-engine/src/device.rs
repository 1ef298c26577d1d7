//! What a device must be able to do for the decoder: a handful of operations on rows of numbers.
//!
//! A stage is written against this trait only. Buffers stay on the device between operations; `write` and `read` are
//! the only ways in and out.

use exo_gguf::TensorView;
use thiserror::Error;

use crate::config::RopeConfig;

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
    /// Tables of the rotary embedding.
    type Rotation: Send;

    /// Lays out a matrix of `shape[1]` outputs and `shape[0]` inputs.
    fn weights(&mut self, tensor: &TensorView<'_>) -> Result<Self::Weights, DeviceError>;

    /// An empty buffer with room for `rows` of `width`.
    fn buffer(&mut self, rows: usize, width: usize) -> Result<Self::Buffer, DeviceError>;

    /// An empty cache.
    fn cache(&mut self, sizes: AttentionSizes) -> Result<Self::Cache, DeviceError>;

    /// Bytes that `cache` takes.
    fn cache_bytes(sizes: AttentionSizes) -> u64;

    /// The frequencies; `factors` divide them, one for each pair of dimensions.
    fn rotation(&mut self, rope: &RopeConfig, sizes: AttentionSizes, factors: Option<&[f32]>) -> Self::Rotation;

    /// Prepares the tables for the rows of a step; `attend` is called for these rows until the next call.
    fn turn_to(&mut self, spans: &[Span], rotation: &mut Self::Rotation);

    /// Replaces the rows of `buffer` by `values`, which fit its room.
    fn write(&mut self, values: &[f32], buffer: &mut Self::Buffer);

    /// Copies all rows of `buffer`.
    fn read(&mut self, buffer: &Self::Buffer, values: &mut [f32]);

    /// `out` = rows of `x` divided by their root mean square, times `weight` (one row).
    fn rms_norm(&mut self, x: &Self::Buffer, weight: &Self::Buffer, epsilon: f32, out: &mut Self::Buffer);

    /// Multiplies the rows of `x` with each matrix; replaces the rows of its buffer.
    fn products<const N: usize>(&mut self, x: &Self::Buffer, products: [(&Self::Weights, &mut Self::Buffer); N]);

    /// Multiplies the rows of `x` with `weights` and adds to the rows of `out`.
    fn add_product(&mut self, x: &Self::Buffer, weights: &Self::Weights, out: &mut Self::Buffer);

    /// `gate` = silu(`gate`) · `up`.
    fn silu_gate(&mut self, gate: &mut Self::Buffer, up: &Self::Buffer);

    /// Turns queries and keys, stores keys and values in the cache in place of what was there from `start` on, and attends from every row to its sequence up to
    /// itself. `out` gets rows of `heads · head_width`.
    fn attend(
        &mut self,
        spans: &[Span],
        rotation: &Self::Rotation,
        heads: Heads<'_, Self::Buffer>,
        cache: &mut Self::Cache,
        out: &mut Self::Buffer,
    );
}
