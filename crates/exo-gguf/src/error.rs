//! Why a file is refused.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A GGUF file that cannot be used, and why.
#[derive(Debug, Error)]
#[error("{}: {problem}", file.display())]
pub struct GgufError {
    /// The file as it was named to [`crate::GgufFile::open`].
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a file. Offsets are bytes from its start.
#[derive(Debug, Error)]
pub enum Problem {
    /// The operating system refused.
    #[error("cannot be read: {0}; check the path and its permissions")]
    Io(#[from] io::Error),
    /// The first four bytes are something else.
    #[error("starts with {found:02x?} instead of \"GGUF\"; give a file in the GGUF format")]
    Magic {
        /// The bytes at the start.
        found: [u8; 4],
    },
    /// A version of the format that nobody writes any more, or a newer one.
    #[error("has GGUF version {found}, versions 2 and 3 are supported; convert the model again")]
    Version {
        /// The version number in the header.
        found: u32,
    },
    /// The file was written on, and for, a big-endian machine.
    #[error("is a big-endian GGUF file; convert the model for little-endian machines")]
    BigEndian,
    /// The file ends inside a field.
    #[error(
        "ends at byte {size}, but {field} needs {needed} bytes at byte {offset}; the file is truncated or damaged, fetch it again"
    )]
    Truncated {
        /// The field that was being read.
        field: String,
        /// Where it starts.
        offset: u64,
        /// How long it says it is.
        needed: u64,
        /// How long the file is.
        size: u64,
    },
    /// A count that cannot be true for a file of this size.
    #[error("claims {count} {field}, more than its {size} bytes can hold; the file is damaged, fetch it again")]
    Count {
        /// What is counted.
        field: String,
        /// The claimed count.
        count: u64,
        /// How long the file is.
        size: u64,
    },
    /// A string that is longer than the format allows.
    #[error("{field} is {length} bytes long, at most {limit} are allowed; the file is damaged, fetch it again")]
    TooLong {
        /// What the string is.
        field: String,
        /// Its length.
        length: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// A string that is no text.
    #[error("{field} is not valid UTF-8; convert the model again")]
    Utf8 {
        /// What the string is.
        field: String,
    },
    /// An empty name.
    #[error("{field} is empty; convert the model again")]
    Empty {
        /// What has no name.
        field: String,
    },
    /// A metadata value of a type that the format does not have.
    #[error("metadata {key:?} has the value type {found}, known are 0 to 12; the file is damaged, fetch it again")]
    ValueType {
        /// The key.
        key: String,
        /// The number of the type.
        found: u32,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("metadata {key:?} has the boolean {found}, only 0 and 1 are allowed; the file is damaged, fetch it again")]
    Boolean {
        /// The key.
        key: String,
        /// The byte.
        found: u8,
    },
    /// Arrays in arrays in arrays.
    #[error("metadata {key:?} nests arrays deeper than {limit}; the file is damaged, fetch it again")]
    Depth {
        /// The key.
        key: String,
        /// The deepest nesting that is read.
        limit: u32,
    },
    /// Two entries of one name.
    #[error("{what} {name:?} stands in the file twice; convert the model again")]
    Duplicate {
        /// "metadata" or "tensor".
        what: &'static str,
        /// The name.
        name: String,
    },
    /// `general.alignment` is not a power of two, or absurd.
    #[error("general.alignment is {found}, it must be a power of two from 1 to 1048576; convert the model again")]
    Alignment {
        /// The value found.
        found: u64,
    },
    /// No dimension, too many, or one that is zero.
    #[error(
        "tensor {tensor:?} has the shape {shape:?}, it needs 1 to 4 dimensions above zero; convert the model again"
    )]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its dimensions, as far as they were read.
        shape: Vec<u64>,
    },
    /// More elements than an address has bits for.
    #[error("tensor {tensor:?} has the shape {shape:?}, whose size overflows; the file is damaged, fetch it again")]
    SizeOverflow {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        shape: Vec<u64>,
    },
    /// A tensor type that this version does not know.
    #[error(
        "tensor {tensor:?} has the type number {found}, which is unknown; quantise the model as Q4_0, Q8_0, Q4_K or Q6_K"
    )]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The number.
        found: u32,
    },
    /// A row that does not consist of whole blocks.
    #[error(
        "tensor {tensor:?} has rows of {row} elements, its type {dtype} needs a multiple of {block}; quantise the model again"
    )]
    Blocks {
        /// The tensor.
        tensor: String,
        /// Elements per row.
        row: u64,
        /// The type's name.
        dtype: &'static str,
        /// Elements per block.
        block: u64,
    },
    /// An offset that is not aligned.
    #[error(
        "tensor {tensor:?} starts at offset {offset}, which is no multiple of the alignment {alignment}; convert the model again"
    )]
    Misaligned {
        /// The tensor.
        tensor: String,
        /// Its offset in the data section.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor that does not lie inside the file.
    #[error("tensor {tensor:?} needs bytes {start} to {end}, the file has {size}; it is truncated, fetch it again")]
    OutOfFile {
        /// The tensor.
        tensor: String,
        /// Its first byte.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// How long the file is.
        size: u64,
    },
    /// A metadata entry that the reader needs is absent.
    #[error("has no metadata {key:?}; this is no complete model of its family, convert it again")]
    MissingKey {
        /// The key asked for.
        key: String,
    },
    /// A metadata entry has another type than the reader needs.
    #[error("metadata {key:?} is {found}, wanted {wanted}; convert the model again")]
    WrongType {
        /// The key asked for.
        key: String,
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A tensor that the reader needs is absent.
    #[error("has no tensor {name:?}; this is no complete model of its family, or only a part of it")]
    MissingTensor {
        /// The name asked for.
        name: String,
    },
}
