//! Tensors of a file.

use crate::ggml_type::GgmlType;

/// A tensor's place in the file.
#[derive(Debug, Clone)]
pub(crate) struct TensorInfo {
    pub(crate) dtype: GgmlType,
    pub(crate) shape: Vec<usize>,
    /// First byte: of the data section while parsing, of the file afterwards.
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// A tensor of an open file.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its elements are stored.
    pub dtype: GgmlType,
    /// Dimensions, the fastest one first: a matrix that maps `k` inputs to `n` outputs has the shape `[k, n]` and is
    /// stored as `n` rows of `k`.
    pub shape: &'a [usize],
    /// The stored bytes: `rows() * row_bytes()` of them. Not aligned to anything.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// Elements per row: the first dimension.
    pub fn row_elements(&self) -> usize {
        self.shape[0]
    }

    /// Bytes per row.
    pub fn row_bytes(&self) -> usize {
        self.bytes.len() / self.rows()
    }

    /// Rows: the product of all dimensions but the first.
    pub fn rows(&self) -> usize {
        self.shape[1..].iter().product()
    }
}
