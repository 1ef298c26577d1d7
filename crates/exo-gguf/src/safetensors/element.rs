//! Types of elements.

use crate::ggml_type::GgmlType;

/// How the elements of a tensor are stored, by the name that the format gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    name: &'static str,
    bytes: u64,
}

/// All types of whole bytes.
const ALL: [Element; 15] = [
    Element { name: "BOOL", bytes: 1 },
    Element { name: "U8", bytes: 1 },
    Element { name: "I8", bytes: 1 },
    Element { name: "F8_E4M3", bytes: 1 },
    Element { name: "F8_E5M2", bytes: 1 },
    Element { name: "U16", bytes: 2 },
    Element { name: "I16", bytes: 2 },
    Element { name: "F16", bytes: 2 },
    Element { name: "BF16", bytes: 2 },
    Element { name: "U32", bytes: 4 },
    Element { name: "I32", bytes: 4 },
    Element { name: "F32", bytes: 4 },
    Element { name: "U64", bytes: 8 },
    Element { name: "I64", bytes: 8 },
    Element { name: "F64", bytes: 8 },
];

impl Element {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|element| element.name == name)
    }

    /// As the file names it: `BF16`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Bytes of one.
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// The same in the words of GGUF, for the floats that models are made of.
    pub fn as_float(self) -> Option<GgmlType> {
        match self.name {
            "F32" => Some(GgmlType::F32),
            "F16" => Some(GgmlType::F16),
            "BF16" => Some(GgmlType::BF16),
            _ => None,
        }
    }
}
