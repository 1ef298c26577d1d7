//! Hugging Face directories: `config.json`, `tokenizer.json`, `tokenizer_config.json`, and one safetensors file or several
//! with an index.

mod config;
mod directory;
mod entry;
mod family;
mod json;
mod names;
mod pooling;
mod rope;
mod shards;
mod tokenizer;

use std::path::Path;

pub(crate) use directory::Directory;

/// The file that makes a directory a model.
pub const CONFIG_FILE: &str = "config.json";
const WEIGHTS_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// Whether a directory looks like a model: it has a configuration and safetensors files.
pub fn is_model_directory(path: &Path) -> bool {
    let has = |name: &str| path.join(name).is_file();
    has(CONFIG_FILE) && (has(WEIGHTS_FILE) || has(INDEX_FILE))
}
