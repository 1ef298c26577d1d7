//! Looks into the directories, and reads only what changed.

use crate::card::card;
use crate::scan::{Finding, FoundModel, MODEL_EXTENSION, Scan, model_id};
use exo_types::KvFormat;
use exo_weights::{CONFIG_FILE, ModelFiles, Quantisation, is_model_directory};
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most files that are looked at: somebody's home directory is no model directory.
const MOST_FILES: usize = 4096;

/// Weights as PyTorch pickles them: programs, which are not run.
const OTHER_WEIGHTS: &str = "pytorch_model.bin";
const OTHER_INDEX: &str = "pytorch_model.bin.index.json";

/// A file is the same while these are; a directory while they are the same of all its files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Vec<Option<SystemTime>>,
}

impl Stamp {
    fn of<'a>(files: impl IntoIterator<Item = &'a Metadata>) -> Self {
        let mut stamp = Self { size: 0, modified: Vec::new() };
        for file in files {
            stamp.size = stamp.size.saturating_add(file.len());
            stamp.modified.push(file.modified().ok());
        }
        stamp
    }
}

/// The model directories, and what is known of the files in them.
#[derive(Debug, Default)]
pub struct ModelStore {
    dirs: Vec<PathBuf>,
    quantisation: Option<Quantisation>,
    kv_format: KvFormat,
    known: BTreeMap<PathBuf, (Stamp, Result<FoundModel, String>)>,
}

impl ModelStore {
    /// Nothing is read yet.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs, quantisation: None, kv_format: KvFormat::default(), known: BTreeMap::new() }
    }

    /// The same, with cards of models that are stored as floats as they are when their matrices are quantised.
    pub fn quantising(self, quantisation: Option<Quantisation>) -> Self {
        Self { quantisation, ..self }
    }

    /// The same, with cards of models whose keys and values are kept in that format.
    pub fn keeping(self, kv_format: KvFormat) -> Self {
        Self { kv_format, ..self }
    }

    /// Looks into every directory and its sub-directories, one level deep, for `*.gguf` and for directories of models.
    /// Headers of files that did not change since the last look are not read again. Blocks on the disk.
    pub fn scan(&mut self) -> Scan {
        let mut scan = Scan::default();
        let mut files = Vec::new();
        for dir in &self.dirs {
            if let Err(error) = collect(dir, &mut files) {
                scan.findings.push(finding(dir, &directory_problem(&error)));
            }
        }
        let mut seen = BTreeMap::new();
        for (path, stamp) in files {
            let known = self.known.remove(&path).filter(|(known, _)| *known == stamp);
            let read = known.map_or_else(|| read(&path, self.quantisation, self.kv_format), |(_, read)| read);
            add(&mut scan, &path, &read);
            seen.insert(path, (stamp, read));
        }
        self.known = seen;
        scan
    }
}

fn directory_problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such directory; create it, or change models.dirs".to_owned(),
        _ => format!("cannot be read ({error}); let exo's user read it, or change models.dirs"),
    }
}

fn finding(path: &Path, reason: &str) -> Finding {
    Finding { path: path.to_owned(), reason: reason.to_owned() }
}

/// The directory itself if it is a model, then files and directories by name, then those of sub-directories by name.
fn collect(dir: &Path, models: &mut Vec<(PathBuf, Stamp)>) -> io::Result<()> {
    let dir = fs::canonicalize(dir)?;
    let mut deeper = Vec::new();
    let entries = entries_of(&dir)?;
    keep_directory(&dir, &entries, models);
    for (path, metadata) in entries {
        if metadata.is_dir() {
            deeper.push(path);
        } else {
            keep_file(path, &metadata, models);
        }
    }
    let mut deepest = Vec::new();
    for dir in deeper {
        let entries = entries_of(&dir).unwrap_or_default();
        keep_directory(&dir, &entries, models);
        for (path, metadata) in entries {
            if metadata.is_dir() {
                deepest.push(path);
            } else {
                keep_file(path, &metadata, models);
            }
        }
    }
    // A directory of a model is an entry like a file, and no level.
    for dir in deepest.iter().filter(|dir| dir.join(CONFIG_FILE).is_file()) {
        keep_directory(dir, &entries_of(dir).unwrap_or_default(), models);
    }
    Ok(())
}

/// What is in a directory, in order, links followed; what vanishes meanwhile is not there.
fn entries_of(dir: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut paths: Vec<_> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).take(MOST_FILES).collect();
    paths.sort();
    Ok(paths.into_iter().filter_map(|path| fs::metadata(&path).ok().map(|metadata| (path, metadata))).collect())
}

fn keep_file(path: PathBuf, metadata: &Metadata, models: &mut Vec<(PathBuf, Stamp)>) {
    let is_model = path.extension().is_some_and(|extension| extension == MODEL_EXTENSION);
    if is_model && metadata.is_file() {
        keep(path, Stamp::of([metadata]), models);
    }
}

/// Keeps a directory with a model, or with the weights of one in a form that is not read, so that it is told.
fn keep_directory(dir: &Path, entries: &[(PathBuf, Metadata)], models: &mut Vec<(PathBuf, Stamp)>) {
    let has_other_weights = || {
        let is_other =
            |path: &PathBuf| path.file_name().is_some_and(|name| name == OTHER_WEIGHTS || name == OTHER_INDEX);
        dir.join(CONFIG_FILE).is_file() && entries.iter().any(|(path, _)| is_other(path))
    };
    if is_model_directory(dir) || has_other_weights() {
        let files = entries.iter().map(|(_, metadata)| metadata).filter(|metadata| metadata.is_file());
        keep(dir.to_owned(), Stamp::of(files), models);
    }
}

fn keep(path: PathBuf, stamp: Stamp, models: &mut Vec<(PathBuf, Stamp)>) {
    let is_known = models.iter().any(|(known, _)| *known == path);
    if !is_known && models.len() < MOST_FILES {
        models.push((path, stamp));
    }
}

fn read(path: &Path, quantisation: Option<Quantisation>, kv_format: KvFormat) -> Result<FoundModel, String> {
    let model_id = model_id(path).map_err(|error| format!("{error}; rename it"))?;
    let files = ModelFiles::open(path).map_err(|error| error.to_string())?;
    let as_it_is = card(model_id.clone(), &files, kv_format).map_err(|error| error.to_string())?;
    let stored = as_it_is.quantization.clone();
    let card = match quantisation {
        Some(_) => card(model_id, &files.quantised(quantisation), kv_format).map_err(|error| error.to_string())?,
        None => as_it_is,
    };
    Ok(FoundModel { path: path.to_owned(), stored, card })
}

fn add(scan: &mut Scan, path: &Path, read: &Result<FoundModel, String>) {
    let found = match read {
        Ok(found) => found.clone(),
        Err(reason) => return scan.findings.push(finding(path, reason)),
    };
    let model_id = &found.card.model_id;
    if let Some(first) = scan.models.get(model_id) {
        let reason = format!("{model_id} is {} already; rename or remove one", first.path.display());
        return scan.findings.push(finding(path, &reason));
    }
    scan.models.insert(model_id.clone(), found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_testkit::{HfStorage, ModelSpec};
    use exo_types::ModelId;
    use tempfile::TempDir;

    fn write(dir: &TempDir, name: &str, layers: usize) -> PathBuf {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the directory")).expect("can be made");
        ModelSpec { layers, ..ModelSpec::default() }.write(&path).expect("can be written");
        path
    }

    fn dir() -> TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn ids(scan: &Scan) -> Vec<&str> {
        scan.models.keys().map(ModelId::as_str).collect()
    }

    #[test]
    fn models_are_found_one_level_deep_and_no_deeper() {
        let dir = dir();
        write(&dir, "a.gguf", 1);
        write(&dir, "org/b.gguf", 1);
        write(&dir, "org/deep/c.gguf", 1);
        fs::write(dir.path().join("notes.txt"), "no model").expect("can be written");
        let scan = ModelStore::new(vec![dir.path().to_owned()]).scan();
        assert_eq!(ids(&scan), ["a", "b"]);
        assert_eq!(scan.findings, []);
    }

    #[test]
    fn a_damaged_file_is_told_and_the_others_stay() {
        let dir = dir();
        let good = write(&dir, "good.gguf", 1);
        let bytes = fs::read(&good).expect("just written");
        fs::write(dir.path().join("cut.gguf"), &bytes[..bytes.len() / 2]).expect("can be written");
        fs::write(dir.path().join("empty.gguf"), "").expect("can be written");
        let scan = ModelStore::new(vec![dir.path().to_owned(), dir.path().join("missing")]).scan();
        assert_eq!(ids(&scan), ["good"]);
        let told: Vec<_> = scan.findings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|line| line.contains("cut.gguf")), "{told:?}");
        assert!(told.iter().any(|line| line.contains("models.dirs")), "{told:?}");
    }

    #[test]
    fn of_two_files_with_one_id_the_first_counts() {
        let (first, second) = (dir(), dir());
        let path = write(&first, "m.gguf", 1);
        write(&second, "m.gguf", 2);
        let scan = ModelStore::new(vec![first.path().to_owned(), second.path().to_owned()]).scan();
        assert_eq!(ids(&scan), ["m"]);
        assert_eq!(scan.models.values().next().map(|model| model.card.n_layers), Some(1));
        assert!(scan.findings[0].reason.contains(path.to_str().expect("text")));
    }

    /// A Hugging Face directory of a small model.
    fn write_directory(dir: &TempDir, name: &str) -> PathBuf {
        let path = dir.path().join(name);
        ModelSpec::default().write_hugging_face(&path, HfStorage::ShardedBf16).expect("can be written");
        path
    }

    #[test]
    fn directories_are_found_wherever_files_are() {
        let dir = dir();
        let first = write_directory(&dir, "tiny-1.5");
        write_directory(&dir, "org/second");
        write_directory(&dir, "org/deep/third");
        let scan = ModelStore::new(vec![dir.path().to_owned()]).scan();
        assert_eq!(ids(&scan), ["second", "tiny-1.5"]);
        assert_eq!(scan.findings, []);
        let found = scan.models.into_values().next_back().expect("found");
        assert_eq!((found.card.quantization.as_str(), found.stored.as_str()), ("BF16", "BF16"));
        assert_eq!((found.card.n_layers, found.card.architecture.as_str()), (3, "llama"));
        let itself = ModelStore::new(vec![first]).scan();
        assert_eq!(ids(&itself), ["tiny-1.5"]);
    }

    #[test]
    fn a_directory_that_is_read_in_fewer_bits_weighs_less() {
        let dir = dir();
        write_directory(&dir, "m");
        let size = |quantisation: Option<Quantisation>| {
            let scan = ModelStore::new(vec![dir.path().to_owned()]).quantising(quantisation).scan();
            let found = scan.models.into_values().next().expect("found");
            assert_eq!(found.stored, "BF16");
            assert_eq!(found.card.quantization, quantisation.map_or("BF16", Quantisation::name));
            found.card.layer_size.in_bytes as f64
        };
        let whole = size(None);
        // 34 bytes for each 32 weights of 2, and 18.
        assert!((size(Some(Quantisation::Q8_0)) / whole - 34.0 / 64.0).abs() < 0.01);
        assert!((size(Some(Quantisation::Q4_0)) / whole - 18.0 / 64.0).abs() < 0.01);
    }

    #[test]
    fn keys_and_values_as_bytes_take_little_more_than_half() {
        let dir = dir();
        write(&dir, "m.gguf", 2);
        let bytes = |kv_format| {
            let scan = ModelStore::new(vec![dir.path().to_owned()]).keeping(kv_format).scan();
            let card = scan.models.into_values().next().expect("found").card;
            assert_eq!(card.kv_format, kv_format);
            card.kv_bytes_per_token
        };
        assert_eq!(bytes(KvFormat::Q8) * 16, bytes(KvFormat::F16) * 9);
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_told() {
        let dir = dir();
        let broken = write_directory(&dir, "broken");
        fs::write(broken.join("config.json"), "{\"model_type\": \"rwkv\"}").expect("can be written");
        fs::create_dir(dir.path().join("pickled")).expect("can be made");
        fs::write(dir.path().join("pickled/config.json"), "{\"model_type\": \"llama\"}").expect("can be written");
        fs::write(dir.path().join("pickled/pytorch_model.bin"), "").expect("can be written");
        fs::create_dir(dir.path().join("other")).expect("can be made");
        fs::write(dir.path().join("other/config.json"), "{}").expect("can be written");
        let mut store = ModelStore::new(vec![dir.path().to_owned()]);
        let scan = store.scan();
        assert_eq!(ids(&scan), Vec::<&str>::new());
        let told: Vec<_> = scan.findings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("rwkv") && told[1].contains("model.safetensors"), "{told:?}");
        write_directory(&dir, "broken");
        assert_eq!(ids(&store.scan()), ["broken"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_links_lead_to_is_read_too() {
        let (dir, blobs) = (dir(), dir());
        let path = write_directory(&dir, "m");
        let blob = fs::canonicalize(blobs.path()).expect("there").join("blob");
        fs::rename(path.join("model-00001-of-00002.safetensors"), &blob).expect("can be moved");
        std::os::unix::fs::symlink(&blob, path.join("model-00001-of-00002.safetensors")).expect("can be linked");
        let scan = ModelStore::new(vec![dir.path().to_owned()]).scan();
        let found = scan.models.into_values().next().expect("found");
        assert_eq!(found.reads(), [found.path.clone(), blob]);
    }

    #[test]
    fn changes_are_seen_at_the_next_look() {
        let dir = dir();
        let mut store = ModelStore::new(vec![dir.path().to_owned()]);
        assert_eq!(ids(&store.scan()), Vec::<&str>::new());
        let path = write(&dir, "m.gguf", 1);
        assert_eq!(ids(&store.scan()), ["m"]);
        write(&dir, "m.gguf", 2);
        assert_eq!(store.scan().models.values().next().map(|model| model.card.n_layers), Some(2));
        fs::remove_file(path).expect("it is there");
        assert_eq!(ids(&store.scan()), Vec::<&str>::new());
    }
}
