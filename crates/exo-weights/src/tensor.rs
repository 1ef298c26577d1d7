//! A tensor, whatever it is stored as.

use std::borrow::Cow;
use std::ops::Range;

use exo_gguf::{GgmlType, TensorView, dequantize, quantize};

use crate::recipe::{Recipe, Stored};

/// A tensor of an open model. Its numbers are read, and brought into order and type, when rows are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name in GGUF's words.
    pub name: &'a str,
    /// The type that its rows are read in.
    pub dtype: GgmlType,
    /// Dimensions, the fastest one first: a matrix that maps `k` inputs to `n` outputs has the shape `[k, n]` and is
    /// read as `n` rows of `k`.
    pub shape: &'a [usize],
    stored: Stored<'a>,
    recipe: Recipe,
}

impl<'a> Tensor<'a> {
    pub(crate) fn new(name: &'a str, shape: &'a [usize], stored: Stored<'a>, recipe: Recipe) -> Self {
        Self { name, dtype: recipe.dtype(stored.dtype), shape, stored, recipe }
    }

    /// The same, read in another type: whole blocks of it fill a row.
    pub(crate) fn read_as(self, dtype: GgmlType) -> Self {
        Self { dtype, ..self }
    }

    /// Elements per row: the first dimension.
    pub fn row_elements(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Rows: the product of all dimensions but the first.
    pub fn rows(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Bytes of a row as it is read.
    pub fn row_bytes(&self) -> usize {
        self.row_elements() / self.dtype.block_elements() * self.dtype.block_bytes()
    }

    /// Bytes of all rows as they are read.
    pub fn bytes(&self) -> u64 {
        self.rows() as u64 * self.row_bytes() as u64
    }

    /// The bytes of some rows. Those that are stored as they are read are not copied.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn read(&self, rows: Range<usize>) -> Cow<'a, [u8]> {
        let width = self.row_elements();
        let bytes = self.recipe.rows(self.stored, rows, width);
        let dtype = self.recipe.dtype(self.stored.dtype);
        if dtype == self.dtype { bytes } else { Cow::Owned(convert(dtype, &bytes, self.dtype, width)) }
    }

    /// All its numbers; `None` where its type cannot be read as numbers.
    pub fn floats(&self) -> Option<Vec<f32>> {
        dequantize::supports(self.dtype).then(|| dequantize::to_vec(self.dtype, &self.read(0..self.rows())))
    }

    /// The part of the file in which some rows lie, for [`crate::ModelFiles::prefetch`] and its opposite.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn stored(&self, rows: Range<usize>) -> &'a [u8] {
        self.recipe.region(self.stored, rows, self.row_elements())
    }
}

impl<'a> From<TensorView<'a>> for Tensor<'a> {
    fn from(view: TensorView<'a>) -> Self {
        let stored = Stored { dtype: view.dtype, bytes: view.bytes, scales: &[] };
        Self::new(view.name, view.shape, stored, Recipe::Plain)
    }
}

/// Rows of `width` elements in another type, one after the other: memory for one row of floats is enough.
fn convert(from: GgmlType, bytes: &[u8], to: GgmlType, width: usize) -> Vec<u8> {
    let row_bytes = width / from.block_elements() * from.block_bytes();
    let mut floats = vec![0.0; width];
    let mut out = Vec::with_capacity(bytes.len() / row_bytes * width / to.block_elements() * to.block_bytes());
    for row in bytes.chunks_exact(row_bytes) {
        dequantize::row(from, row, &mut floats);
        quantize::row(to, &floats, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_quantised_as_they_are_read() {
        let values: Vec<f32> = (0..96).map(|at| (at as f32 * 0.7).sin()).collect();
        let bytes = quantize::to_vec(GgmlType::F32, &values);
        let stored = Stored { dtype: GgmlType::F32, bytes: &bytes, scales: &[] };
        let tensor = Tensor::new("t", &[32, 3], stored, Recipe::Plain);
        assert!(matches!(tensor.read(1..2), Cow::Borrowed(row) if row == &bytes[128..256]));
        let quantised = tensor.read_as(GgmlType::Q8_0);
        assert_eq!((quantised.row_bytes(), quantised.bytes()), (34, 102));
        assert_eq!(&*quantised.read(1..3), quantize::to_vec(GgmlType::Q8_0, &values[32..]));
        assert_eq!(quantised.stored(1..3), &bytes[128..]);
        assert_eq!(tensor.floats(), Some(values));
    }
}
