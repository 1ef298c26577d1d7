//! What fuzzing found once, and the seeds that it begins with, through their targets.

use exo_fuzz::TARGETS;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// A corpus that grows is cut again: everybody downloads it.
const MOST_BYTES: usize = 200_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

#[test]
fn every_known_input_is_read_by_its_target() {
    let mut bytes_of_all = 0;
    let mut failed = Vec::new();
    for target in TARGETS {
        let files = files(&corpus().join(target.name));
        assert!(!files.is_empty(), "{} has no seed", target.name);
        for file in files {
            let bytes = fs::read(&file).expect("a readable file");
            bytes_of_all += bytes.len();
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                failed.push(file);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(bytes_of_all <= MOST_BYTES, "{bytes_of_all} bytes, at most {MOST_BYTES}");
}

#[test]
fn no_input_belongs_to_nobody() {
    let names: Vec<_> =
        files(&corpus()).iter().filter_map(|folder| folder.file_name()?.to_str().map(str::to_owned)).collect();
    assert_eq!(names, TARGETS.map(|target| target.name));
}

#[test]
fn nothing_and_every_single_byte_is_read() {
    for target in TARGETS {
        (target.run)(&[]);
        (0..=u8::MAX).for_each(|byte| (target.run)(&[byte]));
    }
}
