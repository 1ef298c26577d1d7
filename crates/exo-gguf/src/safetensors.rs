//! safetensors files: a JSON header with the place of every tensor, then their numbers.
//!
//! As with GGUF, everything that a file says is checked when it is opened: afterwards every tensor lies inside the file,
//! has as many bytes as its shape and type say, and shares none with another. The format is described at
//! <https://github.com/huggingface/safetensors>.

mod element;
mod error;
mod file;
mod header;

pub use element::Element;
pub use error::{SafetensorsError, SafetensorsProblem};
pub use file::{SafetensorsFile, SafetensorsView};
