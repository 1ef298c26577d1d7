//! An open directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use exo_gguf::Metadata;

use super::config::Config;
use super::entry::{Entry, Source};
use super::names::{Meaning, meaning};
use super::shards::Shards;
use super::{CONFIG_FILE, json, pooling, rope, tokenizer};
use crate::error::{DirectoryProblem, WeightsError};
use crate::recipe::Stored;
use crate::tensor::Tensor;

/// The head where it is not the embedding.
const HEAD: &str = "output.weight";
/// A row for each token.
const EMBEDDING: &str = "token_embd.weight";

/// A directory whose files were checked.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    metadata: Metadata,
    shards: Shards,
    /// By GGUF's names.
    tensors: BTreeMap<String, Entry>,
}

impl Directory {
    /// Opens a directory; reads the headers of its safetensors files only.
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
        let fail = |problem| WeightsError::Directory { path: path.to_owned(), problem: Box::new(problem) };
        let whole = json::value(path, CONFIG_FILE).map_err(fail)?;
        let config = Config::read(&whole).map_err(fail)?;
        let shards = Shards::open(path, fail)?;
        let tensors = entries(&config, &shards).map_err(fail)?;
        check_vocabulary(&config, &tensors).map_err(fail)?;
        let mut metadata = config.metadata().map_err(fail)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        metadata.insert("general.name".to_owned(), name.into());
        tokenizer::set(path, &config, &mut metadata).map_err(fail)?;
        pooling::set(path, config.family, &mut metadata).map_err(fail)?;
        Ok(Self { path: path.to_owned(), metadata: Metadata::new(path, metadata), shards, tensors })
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor<'_>, WeightsError> {
        let missing = || DirectoryProblem::MissingTensor(name.to_owned());
        let fail = || WeightsError::Directory { path: self.path.clone(), problem: Box::new(missing()) };
        self.opt_tensor(name).ok_or_else(fail)
    }

    pub(crate) fn opt_tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let (name, entry) = self.tensors.get_key_value(name)?;
        self.of_entry(name, entry)
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.tensors.iter().filter_map(|(name, entry)| self.of_entry(name, entry))
    }

    pub(crate) fn prefetch(&self, part: &[u8]) {
        self.shards.prefetch(part);
    }

    pub(crate) fn release(&self, part: &[u8]) {
        self.shards.release(part);
    }

    /// Always there: what an entry names was found when the directory was opened.
    fn of_entry<'a>(&'a self, name: &'a str, entry: &'a Entry) -> Option<Tensor<'a>> {
        let (bytes, scales): (&[u8], &[u8]) = match &entry.source {
            Source::Made(bytes) => (bytes, &[]),
            Source::Tensor(tensor) => (self.shards.tensor(tensor)?.bytes, &[]),
            Source::BlocksAndScales(blocks, scales) => {
                (self.shards.tensor(blocks)?.bytes, self.shards.tensor(scales)?.bytes)
            }
        };
        Some(Tensor::new(name, &entry.shape, Stored { dtype: entry.dtype, bytes, scales }, entry.recipe))
    }
}

/// Every tensor under GGUF's names.
fn entries(config: &Config<'_>, shards: &Shards) -> Result<BTreeMap<String, Entry>, DirectoryProblem> {
    let is_tied = config.is_tied()?;
    let mut entries = BTreeMap::new();
    for view in shards.tensors() {
        let tensors = match meaning(config.family, is_tied, view.name) {
            Meaning::Tensors(tensors) => tensors,
            Meaning::Nothing => continue,
            Meaning::Unknown => return Err(DirectoryProblem::UnknownTensor(view.name.to_owned())),
        };
        for (name, order) in tensors {
            let entry = Entry::of(view, order, |name| shards.tensor(name))?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(DirectoryProblem::Duplicate(name));
            }
        }
    }
    if !config.family.is_encoder && !is_tied && !entries.contains_key(HEAD) {
        return Err(DirectoryProblem::MissingTensor(HEAD.to_owned()));
    }
    for (name, numbers) in rope::factors(config)? {
        entries.insert(name.to_owned(), Entry::made(&numbers));
    }
    Ok(entries)
}

/// Tokens are made room for before their texts are read: there are as many as the embedding has rows.
fn check_vocabulary(config: &Config<'_>, tensors: &BTreeMap<String, Entry>) -> Result<(), DirectoryProblem> {
    let embedding = tensors.get(EMBEDDING).ok_or_else(|| DirectoryProblem::MissingTensor(EMBEDDING.to_owned()))?;
    let rows = embedding.shape.iter().skip(1).product();
    let tokens = config.vocabulary()?;
    if tokens as usize == rows { Ok(()) } else { Err(DirectoryProblem::Vocabulary { tokens, rows }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hugging_face::WEIGHTS_FILE;
    use exo_gguf::safetensors::SafetensorsFile;
    use exo_testkit::{HfStorage, ModelSpec};

    #[test]
    fn there_are_as_many_tokens_as_rows_of_the_embedding() {
        let folder = tempfile::tempdir().expect("a folder");
        ModelSpec::default().write_hugging_face(folder.path(), HfStorage::F32).expect("writes");
        let config = folder.path().join(CONFIG_FILE);
        let text = std::fs::read_to_string(&config).expect("reads");
        let rows = SafetensorsFile::open(&folder.path().join(WEIGHTS_FILE))
            .expect("a good file")
            .tensor("model.embed_tokens.weight")
            .map_or(0, |tensor| tensor.shape[0]);
        for said in [rows - 1, rows + 1, 1 << 20] {
            let lie = text.replace(&format!("\"vocab_size\":{rows}"), &format!("\"vocab_size\":{said}"));
            std::fs::write(&config, lie).expect("writes");
            let error = Directory::open(folder.path()).expect_err("it lies").to_string();
            assert!(error.contains(&format!("is {said}, but the embedding has {rows} rows")), "{error}");
        }
        std::fs::write(&config, text).expect("writes");
        Directory::open(folder.path()).expect("it is as it says");
    }
}
