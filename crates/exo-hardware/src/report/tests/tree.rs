//! Recorded machines, one text file each:
//!
//! ```text
//! # a comment
//! /sys/path/file = one line
//! /sys/path/link -> ../target
//! /sys/path/file <<
//! several lines
//! >>
//! ```
//!
//! `{0..7}` and `{a,b}` in a path make several of it; `{}` behind stands for what was put in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// All recordings.
pub(super) const NAMES: &[&str] =
    &["dgx", "strix-halo", "mellanox-dead-leg", "thunderbolt-pair", "laptop", "raspberry-pi", "container"];

/// An unpacked recording, for as long as this lives.
pub(super) struct Tree {
    folder: TempDir,
    files: Vec<PathBuf>,
}

impl Tree {
    pub(super) fn unpack(name: &str) -> Self {
        let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(format!("{name}.tree"));
        let text = fs::read_to_string(&recording).unwrap_or_else(|error| panic!("{}: {error}", recording.display()));
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut tree = Self { folder, files: Vec::new() };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some((path, target)) = line.split_once(" -> ") {
                tree.each(path, target, |at, target| symlink(target, at).expect("it is linked"));
            } else if let Some(path) = line.strip_suffix(" <<") {
                let content: String =
                    lines.by_ref().take_while(|line| *line != ">>").map(|line| format!("{line}\n")).collect();
                tree.write(path, &content);
            } else if let Some((path, value)) = line.split_once(" =") {
                tree.write(path, &format!("{}\n", value.trim_start()));
            } else {
                panic!("{name}: {line:?}");
            }
        }
        tree
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Puts something else into one of the files.
    pub(super) fn overwrite(&self, nth: usize, bytes: &[u8]) {
        fs::write(&self.files[nth % self.files.len()], bytes).expect("it is written");
    }

    fn write(&mut self, path: &str, content: &str) {
        let mut files = Vec::new();
        self.each(path, content, |at, content| {
            fs::write(at, content).expect("it is written");
            files.push(at.to_owned());
        });
        self.files.extend(files);
    }

    fn each(&self, path: &str, content: &str, mut put: impl FnMut(&Path, &str)) {
        for (path, item) in expand(path) {
            let at = self.root().join(path.trim_start_matches('/'));
            fs::create_dir_all(at.parent().expect("a file lies in a folder")).expect("it is made");
            put(&at, &content.replace("{}", &item));
        }
    }
}

/// Every path, with what was put in.
fn expand(path: &str) -> Vec<(String, String)> {
    let Some((before, rest)) = path.split_once('{') else { return vec![(path.to_owned(), String::new())] };
    let (list, after) = rest.split_once('}').expect("a brace that is closed");
    let items: Vec<String> = match list.split_once("..") {
        Some((first, last)) => {
            let (first, last): (u32, u32) = (first.parse().expect("a number"), last.parse().expect("a number"));
            (first..=last).map(|number| number.to_string()).collect()
        }
        None => list.split(',').map(str::to_owned).collect(),
    };
    items.into_iter().map(|item| (format!("{before}{item}{}", after.replace("{}", &item)), item)).collect()
}
