//! A weight matrix as it stands in the file.

use std::ops::Range;

use crate::dtype::Dtype;
use crate::weights::PackError;

/// A view of stored weights: rows are outputs, columns inputs. Narrowing it is how a rank takes its share of a matrix
/// without reading the rest.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) n_rows: usize,
    pub(crate) n_cols: usize,
    bytes: &'a [u8],
    /// From one row to the next.
    stride: usize,
    /// From the start of a row to the first column of this view.
    offset: usize,
}

impl<'a> Matrix<'a> {
    /// All of a stored matrix: `n_rows` rows of `n_cols` elements.
    pub fn new(dtype: Dtype, n_rows: usize, n_cols: usize, bytes: &'a [u8]) -> Result<Self, PackError> {
        let block = dtype.block_elements();
        if n_cols == 0 || n_rows == 0 || !n_cols.is_multiple_of(block) {
            return Err(PackError::Blocks { dtype, n_rows, n_cols, block });
        }
        let stride = dtype.row_bytes(n_cols);
        if stride.checked_mul(n_rows) != Some(bytes.len()) {
            return Err(PackError::Size { dtype, n_rows, n_cols, found: bytes.len() });
        }
        Ok(Self { dtype, n_rows, n_cols, bytes, stride, offset: 0 })
    }

    /// Only these outputs.
    pub fn rows(self, rows: Range<usize>) -> Result<Self, PackError> {
        if rows.is_empty() || rows.end > self.n_rows {
            return Err(PackError::Range { what: "rows", range: rows, of: self.n_rows, block: 1 });
        }
        let bytes = &self.bytes[rows.start * self.stride..rows.end * self.stride];
        Ok(Self { n_rows: rows.len(), bytes, ..self })
    }

    /// Only these inputs; both ends are multiples of the type's block.
    pub fn cols(self, cols: Range<usize>) -> Result<Self, PackError> {
        let block = self.dtype.block_elements();
        let whole = cols.start.is_multiple_of(block) && cols.end.is_multiple_of(block);
        if cols.is_empty() || cols.end > self.n_cols || !whole {
            return Err(PackError::Range { what: "columns", range: cols, of: self.n_cols, block });
        }
        let offset = self.offset + self.dtype.row_bytes(cols.start);
        Ok(Self { n_cols: cols.len(), offset, ..self })
    }

    /// The type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Outputs.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Inputs.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// The stored bytes of one row.
    pub fn row(&self, row: usize) -> &'a [u8] {
        &self.bytes[row * self.stride + self.offset..][..self.dtype.row_bytes(self.n_cols)]
    }
}
