//! Weights in the layout of the kernels.

pub(crate) mod decode;
mod int8;
mod repack;

use std::ops::Range;

use thiserror::Error;

use crate::activations::Format;
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::dtype::{Dtype, Layout};
use crate::matrix::Matrix;
use crate::share::Shared;

/// Outputs per tile: the 32-bit lanes of an AVX-512 register.
pub(crate) const TILE: usize = 16;
/// Inputs per block of quantised activations.
pub(crate) const BLOCK: usize = 32;
/// Inputs per block of the K types.
pub(crate) const SUPER: usize = 256;
/// Bytes of meta per tile and block of the int8 layout: 16 scales, and 16 minima for each half.
pub(crate) const INT8_META: usize = 3 * TILE * 4;

/// Weights that cannot be packed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PackError {
    /// Rows that are no whole blocks, or none at all.
    #[error(
        "a {dtype} matrix of {n_rows} x {n_cols} is no whole number of blocks of {block}; quantise the model again"
    )]
    Blocks {
        /// The type.
        dtype: Dtype,
        /// Outputs.
        n_rows: usize,
        /// Inputs.
        n_cols: usize,
        /// Elements per block.
        block: usize,
    },
    /// Another number of bytes than the shape needs.
    #[error("a {dtype} matrix of {n_rows} x {n_cols} does not have {found} bytes; give the whole tensor")]
    Size {
        /// The type.
        dtype: Dtype,
        /// Outputs.
        n_rows: usize,
        /// Inputs.
        n_cols: usize,
        /// Bytes given.
        found: usize,
    },
    /// A share that is outside of the matrix, empty, or cuts a block.
    #[error("{what} {range:?} of {of} cannot be cut out in blocks of {block}; shard the model over fewer nodes")]
    Range {
        /// "rows" or "columns".
        what: &'static str,
        /// The share.
        range: Range<usize>,
        /// How many there are.
        of: usize,
        /// The smallest piece.
        block: usize,
    },
}

/// A weight matrix in tiles of 16 outputs, for products by [`crate::matmul`].
///
/// The layout (of every instruction set) interleaves the 16 outputs, so that one vector instruction advances all of
/// them and no sum over lanes is needed. Per tile, first to last input:
/// - `F32`, `F16`: 16 numbers per input.
/// - `BF16`: 16 pairs per two inputs.
/// - `Q8_0`: 16 groups of 4 bytes (value + 128) per four inputs; 16 half scales per 32 inputs beside it.
/// - `Q4_0`, `Q4_K`: 16 groups of 4 bytes per eight inputs of a block of 32: inputs `4g..` in the low, `16 + 4g..` in the
///   high nibbles.
/// - `Q6_K`: per 64 inputs 8 vectors of low nibbles and 4 of high bit pairs.
/// - `MXFP4`: quants as those of `Q4_0`; 16 exponents per block beside them.
///
/// The other types stand in the nearest of these layouts that loses nothing: `Q5_0` and `IQ4_NL` as `Q8_0`, `Q3_K` as
/// `Q6_K`. `Q4_1`, `Q5_1`, `Q2_K`, `Q5_K` and `IQ4_XS` become bytes like those of `Q8_0` with f32 numbers beside them:
/// per 32 inputs 16 scales, 16 minima of the first 16 inputs and 16 of the others.
#[derive(Debug)]
pub struct Weights {
    pub(crate) dtype: Dtype,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) quants: Buffer,
    pub(crate) meta: Buffer,
    pub(crate) tile_quants: usize,
    pub(crate) tile_meta: usize,
}

impl Weights {
    /// Repacks a matrix, on all threads.
    pub fn pack(cpu: &Cpu, matrix: &Matrix<'_>) -> Self {
        let (dtype, n, k) = (matrix.dtype, matrix.n_rows, matrix.n_cols);
        let n_tiles = n.div_ceil(TILE);
        let (tile_quants, tile_meta) = repack::tile_sizes(dtype.layout(), k);
        let mut quants = Buffer::new(n_tiles * tile_quants);
        let mut meta = Buffer::new(n_tiles * tile_meta);
        let (all_quants, all_meta) = (Shared::new(quants.as_mut_slice()), Shared::new(meta.as_mut_slice()));
        cpu.pool().chunks(n_tiles, 1, |_, tiles| {
            for tile in tiles {
                // SAFETY: every tile has its own part, and every tile is handed out once.
                let (quants, meta) = unsafe {
                    (
                        all_quants.part(tile * tile_quants..(tile + 1) * tile_quants),
                        all_meta.part(tile * tile_meta..(tile + 1) * tile_meta),
                    )
                };
                for lane in 0..TILE.min(n - tile * TILE) {
                    repack::row(dtype, matrix.row(tile * TILE + lane), lane, quants, meta);
                }
            }
        });
        Self { dtype, n, k, quants, meta, tile_quants, tile_meta }
    }

    /// The type the weights had in the file.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Outputs.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Inputs.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Memory taken.
    pub fn bytes(&self) -> usize {
        self.quants.len() + self.meta.len()
    }

    pub(crate) fn n_tiles(&self) -> usize {
        self.n.div_ceil(TILE)
    }

    pub(crate) fn layout(&self) -> Layout {
        self.dtype.layout()
    }

    /// Whether all machines of the x86 family use the kernels of AVX2.
    pub(crate) fn is_for_avx2(&self) -> bool {
        matches!(self.layout(), Layout::Int8 | Layout::Mxfp4)
    }

    pub(crate) fn format(&self) -> Format {
        match self.layout() {
            Layout::F32 | Layout::F16 => Format::F32,
            Layout::BF16 => Format::Bf16,
            _ => Format::Q8,
        }
    }

    pub(crate) fn quants_of(&self, tile: usize) -> &[u8] {
        &self.quants.as_slice()[tile * self.tile_quants..][..self.tile_quants]
    }

    pub(crate) fn meta_of(&self, tile: usize) -> &[u8] {
        &self.meta.as_slice()[tile * self.tile_meta..][..self.tile_meta]
    }
}
