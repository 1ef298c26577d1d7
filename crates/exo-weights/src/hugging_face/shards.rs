//! The safetensors files of a directory.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use exo_gguf::safetensors::{SafetensorsFile, SafetensorsView};

use super::{INDEX_FILE, WEIGHTS_FILE, json};
use crate::error::{DirectoryProblem, WeightsError};

/// Most files that a model may consist of.
const MOST_FILES: usize = 2048;

/// All files, and which tensor stands in which.
#[derive(Debug)]
pub(super) struct Shards {
    files: Vec<SafetensorsFile>,
    /// File of each tensor.
    places: BTreeMap<String, usize>,
}

impl Shards {
    /// Opens the one file, or those that the index names. `fail` makes an error of a problem.
    pub(super) fn open(folder: &Path, fail: impl Fn(DirectoryProblem) -> WeightsError) -> Result<Self, WeightsError> {
        if folder.join(WEIGHTS_FILE).is_file() {
            let file = SafetensorsFile::open(&folder.join(WEIGHTS_FILE))?;
            let places = file.tensors().map(|tensor| (tensor.name.to_owned(), 0)).collect();
            return Ok(Self { files: vec![file], places });
        }
        let index = json::opt_value(folder, INDEX_FILE).and_then(|index| index.ok_or(DirectoryProblem::NoWeights));
        let map = index.and_then(|index| weight_map(&index)).map_err(&fail)?;
        let mut shards = Self { files: Vec::new(), places: BTreeMap::new() };
        let mut numbers = BTreeMap::new();
        for (tensor, name) in map {
            let number = match numbers.get(&name) {
                Some(&number) => number,
                None => {
                    shards.files.push(SafetensorsFile::open(&folder.join(&name))?);
                    numbers.insert(name.clone(), shards.files.len() - 1);
                    shards.files.len() - 1
                }
            };
            if shards.files.get(number).and_then(|file| file.tensor(&tensor)).is_none() {
                return Err(fail(DirectoryProblem::NotInShard { file: name, tensor }));
            }
            shards.places.insert(tensor, number);
        }
        Ok(shards)
    }

    /// The tensor of this name, if there is one.
    pub(super) fn tensor(&self, name: &str) -> Option<SafetensorsView<'_>> {
        self.files.get(*self.places.get(name)?)?.tensor(name)
    }

    /// Every tensor.
    pub(super) fn tensors(&self) -> impl Iterator<Item = SafetensorsView<'_>> {
        self.places.keys().filter_map(|name| self.tensor(name))
    }

    /// Starts reading a part of a tensor from disk.
    pub(super) fn prefetch(&self, part: &[u8]) {
        self.files.iter().for_each(|file| file.prefetch(part));
    }

    /// Says that a part of a tensor will not be read again soon.
    pub(super) fn release(&self, part: &[u8]) {
        self.files.iter().for_each(|file| file.release(part));
    }
}

/// From tensors to files of this directory.
fn weight_map(index: &serde_json::Value) -> Result<BTreeMap<String, String>, DirectoryProblem> {
    let index = json::Object::whole(INDEX_FILE, index)?;
    let map = index.get("weight_map").and_then(serde_json::Value::as_object);
    let map = map.ok_or_else(|| index.wrong("weight_map", "an object"))?;
    let refuse = |what: String| DirectoryProblem::Index { what };
    let mut files = BTreeMap::new();
    for (tensor, file) in map {
        let file = file.as_str().ok_or_else(|| refuse(format!("names no file for {tensor:?}")))?;
        if !is_plain_name(file) {
            let file: String = file.chars().take(80).collect();
            return Err(refuse(format!("names {file:?}, which is no safetensors file of this directory")));
        }
        files.insert(tensor.clone(), file.to_owned());
    }
    let distinct = files.values().collect::<std::collections::BTreeSet<_>>().len();
    if distinct > MOST_FILES {
        return Err(refuse(format!("names {distinct} files, at most {MOST_FILES} are opened")));
    }
    Ok(files)
}

/// Whether a name stays inside the directory.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && name.ends_with(".safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_names_files_of_its_directory() {
        let check = |index: serde_json::Value, expect: &str| {
            let error = weight_map(&index).expect_err(expect).to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(json!([]), "the whole");
        check(json!({}), "weight_map");
        check(json!({ "weight_map": { "a": 1 } }), "no file for \"a\"");
        for name in ["/etc/passwd", "../m.safetensors", "x/m.safetensors", "m.bin", "", "..", "./../m.safetensors"] {
            check(json!({ "weight_map": { "a": name } }), "no safetensors file of this directory");
        }
        let many: serde_json::Map<_, _> =
            (0..=MOST_FILES).map(|at| (format!("t{at}"), format!("{at}.safetensors").into())).collect();
        check(json!({ "weight_map": many }), "2049 files");
        let map = weight_map(&json!({ "weight_map": { "a": "m-1.safetensors" } })).expect("fine");
        assert_eq!(map["a"], "m-1.safetensors");
    }
}
