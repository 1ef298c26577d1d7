//! Looks into the directories, and reads only what changed.

use crate::card::card;
use crate::scan::{Finding, FoundModel, Scan, model_id};
use exo_gguf::GgufFile;
use exo_types::ModelCard;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most files that are looked at: somebody's home directory is no model directory.
const MOST_FILES: usize = 4096;

/// A file is the same while these are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// The model directories, and what is known of the files in them.
#[derive(Debug, Default)]
pub struct ModelStore {
    dirs: Vec<PathBuf>,
    known: BTreeMap<PathBuf, (Stamp, Result<ModelCard, String>)>,
}

impl ModelStore {
    /// Nothing is read yet.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs, known: BTreeMap::new() }
    }

    /// Looks into every directory and its sub-directories, one level deep, for `*.gguf`. Headers of files that did not
    /// change since the last look are not read again. Blocks on the disk.
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
            let read = known.map_or_else(|| read(&path), |(_, read)| read);
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

/// Files by name, then those of sub-directories by name.
fn collect(dir: &Path, files: &mut Vec<(PathBuf, Stamp)>) -> io::Result<()> {
    let dir = fs::canonicalize(dir)?;
    let mut deeper = Vec::new();
    for (path, metadata) in entries(&dir)? {
        if metadata.is_dir() {
            deeper.push(path);
        } else {
            keep(path, &metadata, files);
        }
    }
    for path in deeper.iter().flat_map(|dir| entries(dir).unwrap_or_default()) {
        keep(path.0, &path.1, files);
    }
    Ok(())
}

/// What is in a directory, in order, links followed; what vanishes meanwhile is not there.
fn entries(dir: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut paths: Vec<_> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).take(MOST_FILES).collect();
    paths.sort();
    Ok(paths.into_iter().filter_map(|path| fs::metadata(&path).ok().map(|metadata| (path, metadata))).collect())
}

fn keep(path: PathBuf, metadata: &Metadata, files: &mut Vec<(PathBuf, Stamp)>) {
    let is_model = path.extension().is_some_and(|extension| extension == "gguf");
    let is_known = files.iter().any(|(known, _)| *known == path);
    if is_model && metadata.is_file() && !is_known && files.len() < MOST_FILES {
        files.push((path, Stamp::of(metadata)));
    }
}

fn read(path: &Path) -> Result<ModelCard, String> {
    let model_id = model_id(path).map_err(|error| format!("{error}; rename the file"))?;
    let file = GgufFile::open(path).map_err(|error| error.to_string())?;
    card(model_id, &file).map_err(|error| error.to_string())
}

fn add(scan: &mut Scan, path: &Path, read: &Result<ModelCard, String>) {
    let card = match read {
        Ok(card) => card.clone(),
        Err(reason) => return scan.findings.push(finding(path, reason)),
    };
    if let Some(first) = scan.models.get(&card.model_id) {
        let reason = format!("{} is {} already; rename or remove one", card.model_id, first.path.display());
        return scan.findings.push(finding(path, &reason));
    }
    scan.models.insert(card.model_id.clone(), FoundModel { path: path.to_owned(), card });
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_testkit::ModelSpec;
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
