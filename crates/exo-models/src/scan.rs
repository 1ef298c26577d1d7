//! What a look into the directories brings.

use exo_types::{IdError, ModelCard, ModelId};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A model that can be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModel {
    /// Its file, absolute.
    pub path: PathBuf,
    /// Its card.
    pub card: ModelCard,
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

/// The id of the model in a file.
pub fn model_id(path: &Path) -> Result<ModelId, IdError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    ModelId::new(stem.chars().map(clean).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_stem_with_what_ids_may_have() {
        let check = |path: &str, expect: &str| {
            assert_eq!(model_id(Path::new(path)).expect("a good id").as_str(), expect);
        };
        check("/models/exo-guide.gguf", "exo-guide");
        check("Llama 3.2 (1B) Q4_0.gguf", "Llama-3.2--1B--Q4_0");
        check("größe.gguf", "gr--e");
        assert!(model_id(Path::new(&format!("{}.gguf", "x".repeat(200)))).is_err());
    }
}
