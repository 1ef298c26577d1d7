//! What a look into the directories brings.

use exo_types::{IdError, ModelCard, ModelId};
use exo_weights::Quantisation;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// How names of files with models end.
pub(crate) const MODEL_EXTENSION: &str = "gguf";

/// A model that can be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModel {
    /// Its file or directory, absolute.
    pub path: PathBuf,
    /// The type that most of its weights are stored in: `BF16`. The card's is another where they are quantised as they are
    /// loaded.
    pub stored: String,
    /// Its card.
    pub card: ModelCard,
}

impl FoundModel {
    /// The type in which this node's copy has to be loaded to be what `placed` says, so that all nodes of an instance
    /// compute alike however they are configured; none if it is stored so.
    pub fn quantisation_for(&self, placed: &ModelCard) -> Option<Quantisation> {
        if placed.quantization == self.stored { None } else { placed.quantization.parse().ok() }
    }

    /// What has to be readable to load it: itself, and where links in its directory lead.
    pub fn reads(&self) -> Vec<PathBuf> {
        let links = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let links = links.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
        let targets = links.filter_map(|link| fs::canonicalize(link.path()).ok());
        std::iter::once(self.path.clone()).chain(targets).collect()
    }
}

/// A file or directory that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which.
    pub path: PathBuf,
    /// Why, and what to do.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display().to_string();
        // Errors of the file itself name it already.
        if self.reason.contains(&path) { f.write_str(&self.reason) } else { write!(f, "{path}: {}", self.reason) }
    }
}

/// Everything in all directories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// By id. Of two files with one id the first found counts: in the order of directories, then of names.
    pub models: BTreeMap<ModelId, FoundModel>,
    /// What was passed over, each once.
    pub findings: Vec<Finding>,
}

/// The id of the model in a file or directory.
pub fn model_id(path: &Path) -> Result<ModelId, IdError> {
    let is_file = path.extension().is_some_and(|extension| extension == MODEL_EXTENSION);
    let name = if is_file { path.file_stem() } else { path.file_name() };
    let stem = name.unwrap_or_default().to_string_lossy();
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    ModelId::new(stem.chars().map(clean).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_load_what_was_placed_however_they_are_configured() {
        let check = |stored: &str, placed: &str, expect: Option<Quantisation>| {
            let card = |quantization: &str| ModelCard {
                model_id: ModelId::new("m").expect("a good id"),
                name: String::new(),
                architecture: "llama".to_owned(),
                quantization: quantization.to_owned(),
                n_layers: 1,
                hidden_size: 1,
                heads: 1,
                kv_heads: 1,
                context_length: 1,
                kv_bytes_per_token: 1,
                kv_format: exo_types::KvFormat::F16,
                layer_size: exo_types::Memory { in_bytes: 1 },
                storage_size: exo_types::Memory { in_bytes: 1 },
            };
            let found = FoundModel { path: "m".into(), stored: stored.to_owned(), card: card("Q8_0") };
            assert_eq!(found.quantisation_for(&card(placed)), expect, "{stored} as {placed}");
        };
        check("BF16", "Q8_0", Some(Quantisation::Q8_0));
        check("BF16", "Q4_0", Some(Quantisation::Q4_0));
        check("BF16", "BF16", None);
        check("Q8_0", "Q8_0", None);
        check("Q4_K", "Q6_K", None);
    }

    #[test]
    fn the_id_is_the_stem_with_what_ids_may_have() {
        let check = |path: &str, expect: &str| {
            assert_eq!(model_id(Path::new(path)).expect("a good id").as_str(), expect);
        };
        check("/models/exo-guide.gguf", "exo-guide");
        check("Llama 3.2 (1B) Q4_0.gguf", "Llama-3.2--1B--Q4_0");
        check("größe.gguf", "gr--e");
        check("/models/Llama-3.2-1B", "Llama-3.2-1B");
        assert!(model_id(Path::new(&format!("{}.gguf", "x".repeat(200)))).is_err());
    }
}
