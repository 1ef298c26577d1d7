//! Engine. Reads, checks and writes GGUF files, and reads and checks safetensors files. Knows nothing of kernels, model
//! families and tokens.
//!
//! Everything that a file says is checked once, when it is opened: afterwards every tensor lies inside the file and has
//! as many bytes as its shape and type say. A file that lies gets a [`GgufError`] that names the file, the field, the
//! values and what to do; it never gets a panic or more memory than a small multiple of its size.
//!
//! ```no_run
//! let file = exo_gguf::GgufFile::open("model.gguf".as_ref())?;
//! let layers = file.metadata().u32("llama.block_count")?;
//! let embedding = file.tensor("token_embd.weight")?;
//! println!("{layers} layers, vocabulary {}", embedding.shape[1]);
//! # Ok::<(), exo_gguf::GgufError>(())
//! ```

mod codebook;
mod cursor;
pub mod dequantize;
mod error;
mod file;
mod ggml_type;
mod map;
mod metadata;
mod parse;
pub mod quantize;
pub mod safetensors;
mod tensor;
mod value;
mod writer;

pub use error::{GgufError, Problem};
pub use file::GgufFile;
pub use ggml_type::GgmlType;
pub use metadata::Metadata;
pub use tensor::TensorView;
pub use value::{Array, Value};
pub use writer::{GgufWriter, WriteError};
