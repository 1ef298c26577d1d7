//! A model's directory as Hugging Face has them.
//!
//! The files stand one after the other, each behind a line `--- NAME`. What stands as `weights` is the header of
//! `model.safetensors`; its length is put before it and zeros behind it.

use crate::input;
use exo_types::{KvFormat, ModelId};
use exo_weights::{ModelFiles, Quantisation};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MARK: &str = "--- ";
const NAMES: [&str; 8] = [
    "1_Pooling/config.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
];
/// More zeros than that are not written.
const MOST_NUMBERS: u64 = 1 << 16;

/// Opens the directory, reads some rows of every tensor, and makes the card.
pub(crate) fn run(bytes: &[u8]) {
    let Some(folder) = written(input::text(bytes)) else { return };
    for quantisation in [None, Some(Quantisation::Q8_0), Some(Quantisation::Q4_0)] {
        let Ok(files) = ModelFiles::open(folder.path()) else { return };
        let files = files.quantised(quantisation);
        for tensor in files.tensors() {
            let last = tensor.rows().saturating_sub(1);
            for rows in [0..tensor.rows().min(2), last..tensor.rows()] {
                let count = rows.len();
                assert_eq!(tensor.read(rows).len(), count * tensor.row_bytes(), "{}", tensor.name);
            }
            let _ = tensor.floats();
        }
        let _ = exo_models::card(ModelId::new("f").expect("a good id"), &files, KvFormat::Q8);
    }
}

/// The directory, in memory where that is possible.
fn written(text: &str) -> Option<TempDir> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("there is room for a temporary folder");
    fs::create_dir(folder.path().join("1_Pooling")).expect("there is room for a folder");
    for part in text.strip_prefix(MARK)?.split(&format!("\n{MARK}")) {
        let (name, content) = part.split_once('\n').unwrap_or((part, ""));
        let (name, content) = match name {
            "weights" => ("model.safetensors", weights(content)),
            _ => (*NAMES.iter().find(|known| **known == name)?, content.as_bytes().to_vec()),
        };
        fs::write(folder.path().join(name), content).expect("there is room for small files");
    }
    Some(folder)
}

/// The header with its length before it and as many zeros behind it as it speaks of.
fn weights(header: &str) -> Vec<u8> {
    let known: serde_json::Value = serde_json::from_str(header).unwrap_or_default();
    let ends = known.as_object().into_iter().flatten().filter_map(|(_, tensor)| tensor["data_offsets"][1].as_u64());
    let zeros = ends.max().unwrap_or(0).min(MOST_NUMBERS) as usize;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; zeros]].concat()
}
