//! Why a safetensors file is refused.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A safetensors file that cannot be used, and why.
#[derive(Debug, Error)]
#[error("{}: {problem}", file.display())]
pub struct SafetensorsError {
    /// The file as it was named when it was opened.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: SafetensorsProblem,
}

/// What can be wrong with a file. Offsets are bytes from the start of the numbers, behind the header.
#[derive(Debug, Error)]
pub enum SafetensorsProblem {
    /// The operating system refused.
    #[error("cannot be read: {0}; check the path and its permissions")]
    Io(#[from] io::Error),
    /// Not even the length of a header.
    #[error("has {size} bytes, a safetensors file has at least 8; fetch it again (a pointer of Git LFS is no model)")]
    Short {
        /// How long the file is.
        size: u64,
    },
    /// A header that is longer than the file, or than the format allows.
    #[error(
        "claims a header of {length} bytes, at most {limit} are possible here; it is truncated or no safetensors file, fetch it again"
    )]
    HeaderLength {
        /// The claimed length.
        length: u64,
        /// What the file's size and the format allow.
        limit: u64,
    },
    /// A header that is not the JSON that the format asks for.
    #[error("has a broken header: {0}; fetch it again")]
    Header(#[from] serde_json::Error),
    /// An element type that the format does not have.
    #[error("tensor {tensor:?} has the type {found:?}, which is unknown; save the model as F32, F16 or BF16")]
    Element {
        /// The tensor.
        tensor: String,
        /// What the header says.
        found: String,
    },
    /// More elements than an address has bits for.
    #[error("tensor {tensor:?} has the shape {shape:?}, whose size overflows; the file is damaged, fetch it again")]
    SizeOverflow {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        shape: Vec<u64>,
    },
    /// A tensor whose bytes are not as many as its shape and type need.
    #[error("tensor {tensor:?} lies at {start} to {end}, but its shape needs {needed} bytes; fetch the file again")]
    Size {
        /// The tensor.
        tensor: String,
        /// Its first byte.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// What shape and type need.
        needed: u64,
    },
    /// A tensor that does not begin where the one before it ends.
    #[error(
        "tensor {tensor:?} begins at {start}, the one before it ends at {end}; the file is damaged, fetch it again"
    )]
    NotAdjacent {
        /// The tensor.
        tensor: String,
        /// Its first byte.
        start: u64,
        /// Where it should begin.
        end: u64,
    },
    /// Tensors that end elsewhere than the file.
    #[error("its tensors end at {end}, but the file has {size} bytes of numbers; it is truncated, fetch it again")]
    End {
        /// Where the last tensor ends.
        end: u64,
        /// How many bytes there are behind the header.
        size: u64,
    },
    /// Two tensors of one name.
    #[error("tensor {name:?} stands in the file twice; save the model again")]
    Duplicate {
        /// The name.
        name: String,
    },
}
