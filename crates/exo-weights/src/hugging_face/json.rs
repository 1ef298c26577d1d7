//! JSON files of a directory, read with the key in every complaint.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::DirectoryProblem;

/// Largest file that is read whole: tokenizers of large vocabularies have some 30 MB.
const LARGEST: u64 = 128 << 20;

/// Bytes of a file; `None` if there is none.
pub(super) fn opt_bytes(folder: &Path, file: &str) -> Result<Option<Vec<u8>>, DirectoryProblem> {
    let fail = |source| DirectoryProblem::Io { file: file.to_owned(), source };
    let opened = match File::open(folder.join(file)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(fail)?,
    };
    let bytes = opened.metadata().map_err(fail)?.len();
    let mut read = Vec::new();
    // One byte more than is allowed tells a file that grew meanwhile.
    opened.take(LARGEST + 1).read_to_end(&mut read).map_err(fail)?;
    if read.len() as u64 > LARGEST {
        return Err(DirectoryProblem::TooLarge { file: file.to_owned(), bytes, limit: LARGEST });
    }
    Ok(Some(read))
}

/// The value in a file; `None` if there is none.
pub(super) fn opt_value(folder: &Path, file: &str) -> Result<Option<Value>, DirectoryProblem> {
    let broken = |source| DirectoryProblem::Json { file: file.to_owned(), source };
    opt_bytes(folder, file)?.map(|bytes| serde_json::from_slice(&bytes).map_err(broken)).transpose()
}

/// The value in a file that must be there.
pub(super) fn value(folder: &Path, file: &str) -> Result<Value, DirectoryProblem> {
    let missing = || DirectoryProblem::Io { file: file.to_owned(), source: ErrorKind::NotFound.into() };
    opt_value(folder, file)?.ok_or_else(missing)
}

/// An object of a file. `null` is the same as no entry.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    file: &'static str,
    /// Keys that lead to it, with a dot behind each.
    path: String,
    entries: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The whole of a file.
    pub(super) fn whole(file: &'static str, value: &'a Value) -> Result<Self, DirectoryProblem> {
        let wrong = || DirectoryProblem::WrongType { file, key: "the whole".to_owned(), wanted: "an object" };
        Ok(Self { file, path: String::new(), entries: value.as_object().ok_or_else(wrong)? })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// All entries, in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.entries.iter()
    }

    pub(super) fn opt_object(&self, key: &str) -> Result<Option<Self>, DirectoryProblem> {
        let entries = self.read(key, "an object", Value::as_object)?;
        Ok(entries.map(|entries| Self { file: self.file, path: format!("{}{key}.", self.path), entries }))
    }

    /// A whole number that fits 32 bits; zero is one.
    pub(super) fn opt_count(&self, key: &str) -> Result<Option<u32>, DirectoryProblem> {
        self.read(key, "a whole number from 0 to 4294967295", |value| value.as_u64()?.try_into().ok())
    }

    pub(super) fn count(&self, key: &str) -> Result<u32, DirectoryProblem> {
        self.opt_count(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn opt_number(&self, key: &str) -> Result<Option<f32>, DirectoryProblem> {
        self.read(key, "a number", |value| Some(value.as_f64()? as f32).filter(|number| number.is_finite()))
    }

    pub(super) fn number(&self, key: &str) -> Result<f32, DirectoryProblem> {
        self.opt_number(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn opt_flag(&self, key: &str) -> Result<Option<bool>, DirectoryProblem> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub(super) fn opt_text(&self, key: &str) -> Result<Option<&'a str>, DirectoryProblem> {
        self.read(key, "a text", Value::as_str)
    }

    pub(super) fn opt_list(&self, key: &str) -> Result<Option<&'a [Value]>, DirectoryProblem> {
        self.read(key, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    pub(super) fn missing(&self, key: &str) -> DirectoryProblem {
        DirectoryProblem::MissingKey { file: self.file, key: format!("{}{key}", self.path) }
    }

    pub(super) fn wrong(&self, key: &str, wanted: &'static str) -> DirectoryProblem {
        DirectoryProblem::WrongType { file: self.file, key: format!("{}{key}", self.path), wanted }
    }

    /// A refusal that names key and value.
    pub(super) fn unsupported(&self, key: &str) -> DirectoryProblem {
        let value: String = self.get(key).map(Value::to_string).unwrap_or_default().chars().take(80).collect();
        DirectoryProblem::Unsupported { what: format!("{}{key} = {value} in {}", self.path, self.file) }
    }

    fn read<T>(
        &self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, DirectoryProblem> {
        self.get(key).map(|value| read(value).ok_or_else(|| self.wrong(key, wanted))).transpose()
    }
}
