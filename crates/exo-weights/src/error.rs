//! Why a model's files are refused.

use std::io;
use std::path::PathBuf;

use exo_gguf::safetensors::{SafetensorsError, SafetensorsProblem};
use exo_gguf::{GgufError, Problem};
use thiserror::Error;

/// Files that cannot be used, and why.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// A GGUF file, or an entry of the metadata.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A safetensors file of a directory.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A Hugging Face directory.
    #[error("{}: {problem}", path.display())]
    Directory {
        /// The directory as it was given.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<DirectoryProblem>,
    },
}

impl WeightsError {
    /// Whether another try can help: only where the system, not the files, stood in the way.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Gguf(error) => matches!(error.problem, Problem::Io(_)),
            Self::Safetensors(error) => matches!(error.problem, SafetensorsProblem::Io(_)),
            Self::Directory { problem, .. } => matches!(**problem, DirectoryProblem::Io { .. }),
        }
    }
}

/// What can be wrong with a directory.
#[derive(Debug, Error)]
pub enum DirectoryProblem {
    /// The operating system refused.
    #[error("{file} cannot be read: {source}; fetch the model again, or check permissions")]
    Io {
        /// The file.
        file: String,
        /// The cause.
        source: io::Error,
    },
    /// A file that is larger than such files are.
    #[error("{file} has {bytes} bytes, at most {limit} are read; fetch the model again")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// Not JSON.
    #[error("{file} is broken: {source}; fetch the model again")]
    Json {
        /// The file.
        file: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A key that must be there.
    #[error("{file} has no {key}; this is no complete model of its family")]
    MissingKey {
        /// The file.
        file: &'static str,
        /// The key.
        key: String,
    },
    /// A key with a value of another kind.
    #[error("{key} in {file} is not {wanted}; fetch the model again")]
    WrongType {
        /// The file.
        file: &'static str,
        /// The key.
        key: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A family of models that is not known here.
    #[error("config.json names the model type {found:?}; this engine runs {known}. A GGUF file may exist of it")]
    ModelType {
        /// What the file says.
        found: String,
        /// What there is.
        known: String,
    },
    /// Something that the family can have, and that is not computed here.
    #[error("{what} is not supported; results would be wrong without it")]
    Unsupported {
        /// Key and value, with the file where it is not the configuration.
        what: String,
    },
    /// A tokenizer that cannot be mapped onto those that are there.
    #[error("the tokenizer has {what}, which is not supported; use a GGUF file of the model")]
    Tokenizer {
        /// What is unknown about it.
        what: String,
    },
    /// No weights.
    #[error(
        "has neither model.safetensors nor model.safetensors.index.json; save the model in safetensors (save_pretrained does)"
    )]
    NoWeights,
    /// An index that names a file outside the directory, or too many files.
    #[error("model.safetensors.index.json {what}; fetch the model again")]
    Index {
        /// What is wrong.
        what: String,
    },
    /// A tensor that the index names and its file does not have.
    #[error("{file} has no tensor {tensor:?}, which the index says it has; fetch the model again")]
    NotInShard {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor that the family does not have.
    #[error("tensor {0:?} is not part of this model type as the engine knows it; results would be wrong without it")]
    UnknownTensor(String),
    /// A tensor in a type that is not computed with.
    #[error("tensor {tensor:?} is stored as {found}; save the model as F32, F16 or BF16")]
    Element {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: &'static str,
    },
    /// A tensor with another number of dimensions than its kind has.
    #[error("tensor {tensor:?} has the shape {shape:?}, wanted {wanted}; fetch the model again")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        shape: Vec<usize>,
        /// What was expected.
        wanted: &'static str,
    },
    /// Tokens without a row, or rows without a token.
    #[error("vocab_size in config.json is {tokens}, but the embedding has {rows} rows; fetch the model again")]
    Vocabulary {
        /// What the configuration says.
        tokens: u32,
        /// What there is.
        rows: usize,
    },
    /// Two tensors that are the same to the engine.
    #[error("tensor {0:?} is there under two names; save the model again")]
    Duplicate(String),
    /// A tensor that the engine needs.
    #[error("has no tensor that would be {0:?} in a GGUF file; this is no complete model of its family")]
    MissingTensor(String),
}
