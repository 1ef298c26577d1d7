//! Engine. A model's files, GGUF or a Hugging Face directory, seen in one way: metadata under GGUF's keys, tensors under
//! its names. Knows nothing of kernels and devices, nor of how a model computes.
//!
//! Whoever reads a model asks here and does not notice what it is stored as. Tensors of a directory stay where they are;
//! what transformers keeps in another order, or a wanted quantisation, is made of the rows that are asked for, when they
//! are asked for.
//!
//! ```no_run
//! let files = exo_weights::ModelFiles::open("/models/Llama-3.2-1B".as_ref())?;
//! let layers = files.metadata().u32("llama.block_count")?;
//! let embedding = files.tensor("token_embd.weight")?;
//! println!("{layers} layers, the first row has {} bytes", embedding.read(0..1).len());
//! # Ok::<(), exo_weights::WeightsError>(())
//! ```

mod error;
mod hugging_face;
mod model_files;
mod quantisation;
mod recipe;
mod tensor;

pub use error::{DirectoryProblem, WeightsError};
pub use hugging_face::{CONFIG_FILE, is_model_directory};
pub use model_files::ModelFiles;
pub use quantisation::{Quantisation, UnknownQuantisation};
pub use tensor::Tensor;
