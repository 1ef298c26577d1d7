//! Weight types.

use std::fmt;

/// How the weights of a matrix are stored in a model file. Layouts are those of the GGUF specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, non_camel_case_types, reason = "the names are the format's own")]
pub enum Dtype {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

/// Type, name, elements and bytes per block, layout for the kernels.
type Row = (Dtype, &'static str, usize, usize, Layout);

/// In the order of the enum, which [`Dtype::row`] indexes by.
const TABLE: [Row; 16] = [
    (Dtype::F32, "F32", 1, 4, Layout::F32),
    (Dtype::F16, "F16", 1, 2, Layout::F16),
    (Dtype::BF16, "BF16", 1, 2, Layout::BF16),
    (Dtype::Q4_0, "Q4_0", 32, 18, Layout::Q4_0),
    (Dtype::Q4_1, "Q4_1", 32, 20, Layout::Int8),
    (Dtype::Q5_0, "Q5_0", 32, 22, Layout::Q8_0),
    (Dtype::Q5_1, "Q5_1", 32, 24, Layout::Int8),
    (Dtype::Q8_0, "Q8_0", 32, 34, Layout::Q8_0),
    (Dtype::Q2_K, "Q2_K", 256, 84, Layout::Int8),
    (Dtype::Q3_K, "Q3_K", 256, 110, Layout::Q6_K),
    (Dtype::Q4_K, "Q4_K", 256, 144, Layout::Q4_K),
    (Dtype::Q5_K, "Q5_K", 256, 176, Layout::Int8),
    (Dtype::Q6_K, "Q6_K", 256, 210, Layout::Q6_K),
    (Dtype::IQ4_NL, "IQ4_NL", 32, 18, Layout::Q8_0),
    (Dtype::IQ4_XS, "IQ4_XS", 256, 136, Layout::Int8),
    (Dtype::MXFP4, "MXFP4", 32, 17, Layout::Mxfp4),
];

/// How weights stand in memory for the kernels. Every type is laid out so that nothing of it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the names are the format's own")]
pub(crate) enum Layout {
    F32,
    F16,
    BF16,
    Q4_0,
    /// Signed bytes with a half scale per 32.
    Q8_0,
    Q4_K,
    /// Six bits with a signed byte per 16 times a half scale per 256.
    Q6_K,
    /// Signed bytes with a scale per 32 and a minimum per 16, both f32.
    Int8,
    Mxfp4,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Self; 16] = {
        let mut all = [Self::F32; 16];
        let mut index = 0;
        while index < all.len() {
            all[index] = TABLE[index].0;
            index += 1;
        }
        all
    };

    /// Elements per block.
    pub fn block_elements(self) -> usize {
        self.row().2
    }

    /// Bytes per block.
    pub fn block_bytes(self) -> usize {
        self.row().3
    }

    /// The name, such as `Q4_K`; the same as in the file format.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    pub(crate) fn layout(self) -> Layout {
        self.row().4
    }

    pub(crate) fn row_bytes(self, elements: usize) -> usize {
        elements / self.block_elements() * self.block_bytes()
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        assert!(TABLE.iter().enumerate().all(|(index, row)| row.0 as usize == index));
    }
}
