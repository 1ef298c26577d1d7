//! How the rows of a tensor are made of what is stored.

use std::borrow::Cow;
use std::ops::Range;

use exo_gguf::{GgmlType, dequantize};

/// How transformers' order becomes GGUF's. Positions are elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// Rows stand as they are.
    Plain,
    /// One is added to every number: norms that multiply by 1 + weight. Read as f32.
    PlusOne,
    /// Rows are picked out of a larger order.
    Strided(Strides),
    /// Rows of gpt-oss's MXFP4 experts: blocks in one tensor, scales in another.
    Mxfp4(Mxfp4Rows),
}

/// Element `c` of row `r` stands at `offset + r / group * group_stride + r % group * row_stride + c * column_stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strides {
    pub(crate) offset: usize,
    /// Rows of a group.
    pub(crate) group: usize,
    pub(crate) group_stride: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

/// Row `r` is stored row `offset + r * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mxfp4Rows {
    pub(crate) offset: usize,
    pub(crate) step: usize,
}

/// What is stored of one tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) dtype: GgmlType,
    pub(crate) bytes: &'a [u8],
    /// Of MXFP4's blocks; empty otherwise.
    pub(crate) scales: &'a [u8],
}

impl Recipe {
    /// The type that [`Self::rows`] gives.
    pub(crate) fn dtype(self, stored: GgmlType) -> GgmlType {
        match self {
            Self::PlusOne => GgmlType::F32,
            Self::Mxfp4(_) => GgmlType::MXFP4,
            Self::Plain | Self::Strided(_) => stored,
        }
    }

    /// Rows of `width` elements.
    pub(crate) fn rows<'a>(self, stored: Stored<'a>, rows: Range<usize>, width: usize) -> Cow<'a, [u8]> {
        match self {
            Self::Plain => Cow::Borrowed(self.region(stored, rows, width)),
            Self::PlusOne => Cow::Owned(plus_one(stored.dtype, self.region(stored, rows, width))),
            Self::Strided(strides) => Cow::Owned(strides.gather(stored, rows, width)),
            Self::Mxfp4(order) => Cow::Owned(order.blocks(stored, rows, width)),
        }
    }

    /// The part of the stored bytes in which those rows lie, perhaps among others.
    pub(crate) fn region<'a>(self, stored: Stored<'a>, rows: Range<usize>, width: usize) -> &'a [u8] {
        let element = stored.dtype.block_bytes();
        match self {
            Self::Plain | Self::PlusOne => {
                let row = width / stored.dtype.block_elements() * element;
                &stored.bytes[rows.start * row..rows.end * row]
            }
            Self::Strided(Strides { group, group_stride, .. }) => {
                let groups = rows.start / group..rows.end.div_ceil(group);
                &stored.bytes[groups.start * group_stride * element..groups.end * group_stride * element]
            }
            Self::Mxfp4(Mxfp4Rows { step, .. }) => {
                let row = width / 2;
                &stored.bytes[rows.start * step * row..rows.end * step * row]
            }
        }
    }
}

fn plus_one(dtype: GgmlType, bytes: &[u8]) -> Vec<u8> {
    dequantize::to_vec(dtype, bytes).into_iter().flat_map(|value| (value + 1.0).to_le_bytes()).collect()
}

impl Strides {
    fn gather(self, stored: Stored<'_>, rows: Range<usize>, width: usize) -> Vec<u8> {
        let element = stored.dtype.block_bytes();
        let mut out = vec![0; rows.len() * width * element];
        let at = |row: usize| self.offset + row / self.group * self.group_stride + row % self.group * self.row_stride;
        // Column by column of the result: neighbours there are neighbours in what is stored.
        for column in 0..width {
            for (index, row) in rows.clone().enumerate() {
                let from = (at(row) + column * self.column_stride) * element;
                let to = (index * width + column) * element;
                out[to..to + element].copy_from_slice(&stored.bytes[from..from + element]);
            }
        }
        out
    }
}

impl Mxfp4Rows {
    /// GGUF's blocks: the scale, then 16 bytes whose low halves are the first 16 numbers. Stored are 16 bytes of
    /// neighbours, the low half first.
    fn blocks(self, stored: Stored<'_>, rows: Range<usize>, width: usize) -> Vec<u8> {
        let blocks = width / GgmlType::MXFP4.block_elements();
        let mut out = Vec::with_capacity(rows.len() * blocks * GgmlType::MXFP4.block_bytes());
        for row in rows {
            let first = (self.offset + row * self.step) * blocks;
            for block in first..first + blocks {
                let bytes = &stored.bytes[block * 16..][..16];
                let number = |at: usize| bytes[at / 2] >> (at % 2 * 4) & 15;
                out.push(stored.scales[block]);
                out.extend((0..16).map(|at| number(at) | number(at + 16) << 4));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    fn stored(bytes: &[u8]) -> Stored<'_> {
        Stored { dtype: GgmlType::F32, bytes, scales: &[] }
    }

    #[test]
    fn strides_pick_gates_and_transpose_them() {
        // Two experts, three inputs, two outputs of each kind: gates are even columns.
        let bytes = floats((0..24).map(|at| at as f32));
        let gates = Strides { offset: 0, group: 2, group_stride: 12, row_stride: 2, column_stride: 4 };
        let recipe = Recipe::Strided(gates);
        let rows = |range| dequantize::to_vec(GgmlType::F32, &recipe.rows(stored(&bytes), range, 3));
        assert_eq!(rows(0..2), [0.0, 4.0, 8.0, 2.0, 6.0, 10.0]);
        assert_eq!(rows(2..4), [12.0, 16.0, 20.0, 14.0, 18.0, 22.0]);
        assert_eq!(rows(3..4), [14.0, 18.0, 22.0]);
        assert_eq!(recipe.region(stored(&bytes), 2..3, 3), &bytes[48..]);
    }

    #[test]
    fn one_is_added_as_f32() {
        let bytes: Vec<u8> = [0x80, 0x3f, 0x00, 0x00].to_vec();
        let bf16 = Stored { dtype: GgmlType::BF16, bytes: &bytes, scales: &[] };
        assert_eq!(&*Recipe::PlusOne.rows(bf16, 0..1, 2), floats([2.0, 1.0]));
        assert_eq!(Recipe::PlusOne.dtype(GgmlType::BF16), GgmlType::F32);
    }

    #[test]
    fn mxfp4_neighbours_become_halves() {
        // Two rows of one block: numbers 0 to 31 modulo 16, then all of the number 1.
        let mut bytes: Vec<u8> = (0..16).map(|at| (2 * at % 16) | (((2 * at + 1) % 16) << 4)).collect();
        bytes.extend([0x11; 16]);
        let stored = Stored { dtype: GgmlType::MXFP4, bytes: &bytes, scales: &[127, 129] };
        // The numbers of four bits with two of exponent and one of mantissa, times 2^(scale - 127).
        let number = |code: usize| {
            let size = [0.0f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][code % 8];
            if code >= 8 { -size } else { size }
        };
        let read =
            |order: Mxfp4Rows, rows| dequantize::to_vec(GgmlType::MXFP4, &Recipe::Mxfp4(order).rows(stored, rows, 32));
        let expect: Vec<f32> = (0..32).map(|at| number(at % 16)).collect();
        assert_eq!(read(Mxfp4Rows { offset: 0, step: 1 }, 0..1), expect);
        assert_eq!(read(Mxfp4Rows { offset: 1, step: 2 }, 0..1), [2.0; 32]);
    }
}
