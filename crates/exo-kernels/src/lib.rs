//! Engine. The kernels of the CPU device: every instruction set behind one table. Knows nothing of files, model families
//! and requests.
//!
//! A [`Cpu`] is an instruction set that this machine has and a pool of threads; every operation is a method of a type
//! here that takes one. Weights are repacked once ([`Weights::pack`]) into tiles of 16 outputs, activations are
//! converted once per use ([`Activations::fill`]) and shared by all products that read them ([`matmul`]).
//!
//! # What does not change a result
//! For one instruction set, a row's result has the same bits whatever the number of rows in the call, the other rows,
//! the other sequences and the number of threads: every output is one fixed sequence of operations over its inputs, and
//! only which outputs are computed together differs. Products of quantised, `F32` and `F16` weights also have the same
//! bits with `Amx`, `Avx512` and `Avx2` (sums of a block are exact integers); `Avx2` adds bf16 products in another order,
//! and `Portable` rounds differently everywhere, because it has no fused multiply-add.

mod activations;
mod attention;
mod buffer;
mod cpu;
mod dtype;
mod elementwise;
mod isa;
mod kv_cache;
mod lanes;
mod matmul;
mod matrix;
mod pool;
mod rope;
mod share;
mod vector;
mod weights;

pub use activations::Activations;
pub use attention::{Attending, AttentionBounds, AttentionShape, attention};
pub use cpu::Cpu;
pub use dtype::Dtype;
pub use elementwise::{
    add, add_to_rows, clamped_silu_mul, gelu, gelu_mul, layer_norm_in_place, rms_norm, rms_norm_in_place, scale,
    silu_mul, soft_cap, softmax,
};
pub use isa::{Isa, IsaError};
pub use kv_cache::{KvCache, KvFormat, KvPage, PAGE};
pub use matmul::{Product, matmul};
pub use matrix::Matrix;
pub use pool::Pool;
pub use rope::{Rope, RopeStyle, RopeTable};
pub use weights::{PackError, Weights};
