//! `tokenizer.json` and its companions in the words of GGUF's metadata.
//!
//! Of the tokenizers that such files can describe these are mapped, and the others refused: byte-level BPE with the word
//! rules of GPT-2, Llama 3, Qwen 2, GPT-4o and Tekken, SentencePiece's BPE, and BERT's WordPiece. Unicode normalisation (Qwen asks for NFC)
//! is not done, here as with GGUF files.

mod model;
mod special;
mod template;
mod word_piece;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use exo_gguf::Value;

use super::config::Config;
use super::json::{self, Object};
use crate::error::DirectoryProblem;
use model::Model;

const FILE: &str = "tokenizer.json";
const SETTINGS_FILE: &str = "tokenizer_config.json";
const GENERATION_FILE: &str = "generation_config.json";
/// No model has more tokens.
const MOST_TOKENS: u32 = 1 << 20;

/// Sets all of the tokenizer's entries.
pub(super) fn set(
    folder: &Path,
    config: &Config<'_>,
    metadata: &mut BTreeMap<String, Value>,
) -> Result<(), DirectoryProblem> {
    let whole = json::opt_value(folder, FILE)?.ok_or_else(|| missing(folder))?;
    let file = Object::whole(FILE, &whole)?;
    let count = config.vocabulary()?;
    if count > MOST_TOKENS {
        return Err(config.object.unsupported("vocab_size"));
    }
    let model = Model::read(&file, count as usize)?;
    let empty = || serde_json::Value::Object(serde_json::Map::new());
    let settings = json::opt_value(folder, SETTINGS_FILE)?.unwrap_or_else(empty);
    let settings = Object::whole(SETTINGS_FILE, &settings)?;
    let generation = json::opt_value(folder, GENERATION_FILE)?.unwrap_or_else(empty);
    let generation = Object::whole(GENERATION_FILE, &generation)?;
    let ends = generation.get("eos_token_id").or_else(|| config.ends());
    let mut entries = Entries(metadata);
    special::Roles { file: &file, settings: &settings, model: &model, ends }.set(&mut entries)?;
    if let Some(template) = template::read(folder, &settings)? {
        entries.set_whole("tokenizer.chat_template", template);
    }
    model.set(&mut entries);
    Ok(())
}

/// The metadata, written to under the tokenizer's keys.
struct Entries<'a>(&'a mut BTreeMap<String, Value>);

impl Entries<'_> {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.set_whole(&format!("tokenizer.ggml.{name}"), value);
    }

    fn set_whole(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }
}

fn missing(folder: &Path) -> DirectoryProblem {
    let what = match folder.join("tokenizer.model").is_file() {
        true => "no tokenizer.json but only tokenizer.model (transformers' AutoTokenizer writes the former)",
        false => "no tokenizer.json",
    };
    unsupported(what)
}

fn unsupported(what: impl Into<String>) -> DirectoryProblem {
    DirectoryProblem::Tokenizer { what: what.into() }
}

/// Steps of a normalizer or pre-tokenizer, in order: `key` names the list in one that is a sequence.
fn steps<'a>(step: Option<&'a serde_json::Value>, key: &str) -> Vec<&'a serde_json::Value> {
    let Some(step) = step else { return Vec::new() };
    match step.get(key).and_then(serde_json::Value::as_array).filter(|_| kind_of(step) == "Sequence") {
        // Nobody nests sequences; one that is would be an unknown step.
        Some(steps) => steps.iter().collect(),
        None => vec![step],
    }
}

/// The type of a step.
fn kind_of(step: &serde_json::Value) -> &str {
    step.get("type").and_then(serde_json::Value::as_str).unwrap_or("unknown")
}

/// A step for an error: its beginning.
fn shown(step: &serde_json::Value) -> String {
    step.to_string().chars().take(160).collect()
}

#[cfg(test)]
mod tests;
