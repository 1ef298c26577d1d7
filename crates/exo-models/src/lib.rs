//! Io. The models on this machine: directories are scanned, cards are read from the headers of files. A model is a GGUF
//! file, or a directory as Hugging Face has them.
//! Knows nothing of downloads, of the State or of how a model is computed.
//!
//! ```no_run
//! let mut store = exo_models::ModelStore::new(vec!["/var/lib/exo/models".into()]);
//! let scan = store.scan();
//! for (model_id, model) in &scan.models {
//!     println!("{model_id}: {} layers in {}", model.card.n_layers, model.path.display());
//! }
//! for finding in &scan.findings {
//!     eprintln!("{finding}");
//! }
//! ```
//!
//! A model's id is the stem of its file's name, or the name of its directory, so that users decide what it is called:
//! `llama-3.2-1b-q8.gguf` is `llama-3.2-1b-q8`. Characters that ids may not have become `-`. `general.name` of the file is kept for people.

mod card;
mod scan;
mod store;

pub use card::{CardError, card};
pub use scan::{Finding, FoundModel, Scan, model_id};
pub use store::ModelStore;
