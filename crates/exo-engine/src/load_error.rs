//! Why a model cannot be loaded.

use exo_text::{TemplateError, VocabularyError};
use thiserror::Error;

use crate::device::DeviceError;

/// A model, or a use of it, that is refused. Nothing stays allocated.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Files that are missing, truncated or of no known form.
    #[error(transparent)]
    Files(#[from] exo_weights::WeightsError),
    /// A family of models that the engine does not know.
    #[error("the architecture is {name:?}; this engine runs {known}")]
    Architecture {
        /// What the file says.
        name: String,
        /// What there is.
        known: String,
    },
    /// A number outside of what can be.
    #[error("{key} is {value}; it must be between {min} and {max}")]
    OutOfRange {
        /// The entry.
        key: String,
        /// What the file says.
        value: f64,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// A share that cannot be.
    #[error("share {rank} of {size} was asked for; the model has {heads} heads, of which every rank needs one")]
    Share {
        /// Number of the share.
        rank: usize,
        /// Number of shares.
        size: usize,
        /// Query heads of the model.
        heads: usize,
    },
    /// Sizes that contradict each other.
    #[error("the model's sizes contradict each other: {0}")]
    Shape(String),
    /// A kind of scaling that is not computed here.
    #[error("rotary scaling {0:?} is not supported; this engine knows linear, yarn, llama3 and longrope")]
    RopeScaling(String),
    /// A tensor of another shape than the metadata says.
    #[error("tensor {name} has the shape {got:?}, but the metadata asks for {expected:?}")]
    TensorShape {
        /// The tensor.
        name: String,
        /// Sizes from the metadata, innermost first.
        expected: Vec<usize>,
        /// Sizes in the file, innermost first.
        got: Vec<usize>,
    },
    /// A vector in a format that cannot be read.
    #[error("tensor {name} is stored as {dtype}, which vectors never are; convert the model again")]
    VectorType {
        /// The tensor.
        name: String,
        /// Its format.
        dtype: &'static str,
    },
    /// A tensor that the family does not have.
    #[error("tensor {0} is not part of this architecture as the engine knows it; results would be wrong without it")]
    UnknownTensor(String),
    /// Layers that the model does not have.
    #[error("layers {start} to {end} were asked for, but the model has {layers}")]
    Layers {
        /// First layer.
        start: usize,
        /// Layer after the last.
        end: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// An option that makes no sense.
    #[error("{name} is {value}; it must be between {min} and {max}")]
    Option {
        /// Name of the option.
        name: &'static str,
        /// What was given.
        value: u64,
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// Not enough memory.
    #[error(
        "{needed} bytes are needed and {limit} allowed; lower the context or the number of sequences, or use more nodes"
    )]
    Memory {
        /// Bytes for weights, caches and buffers.
        needed: u64,
        /// Bytes that may be used.
        limit: u64,
    },
    /// The device cannot run the model.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// States that are pooled in a way that models of its kind do not have.
    #[error(
        "embeddings of the model are pooled in way {0} of GGUF; this engine knows the mean, the last token, and of encoders the first"
    )]
    Pooling(usize),
    /// A token behind texts that does not exist.
    #[error("texts end with token {token}, but the vocabulary has {tokens} tokens")]
    EndToken {
        /// The token.
        token: u32,
        /// Number of tokens.
        tokens: usize,
    },
    /// A tokenizer family that is unknown.
    #[error("the tokenizer is {0:?}; this engine knows gpt2, llama and bert")]
    TokenizerModel(String),
    /// A way to cut words that is unknown.
    #[error("the pre-tokenizer is {0:?}; this engine knows gpt-2, llama-bpe, qwen2, gpt-4o and tekken")]
    PreTokenizer(String),
    /// A vocabulary that cannot be used.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// A chat template that cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// An entry of the metadata that is missing or of another type.
impl From<exo_gguf::GgufError> for LoadError {
    fn from(error: exo_gguf::GgufError) -> Self {
        Self::Files(error.into())
    }
}
