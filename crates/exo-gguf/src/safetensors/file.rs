//! An open file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::element::Element;
use super::error::SafetensorsError;
use super::header::{self, Place};
use crate::map::Bytes;

/// A safetensors file whose header has been checked; tensors are read from the mapping when they are touched.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    bytes: Bytes,
    tensors: BTreeMap<String, Place>,
}

/// A tensor of an open file.
#[derive(Clone, Copy, Debug)]
pub struct SafetensorsView<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its elements are stored.
    pub element: Element,
    /// Dimensions, the slowest one first; none for a single number.
    pub shape: &'a [usize],
    /// The stored bytes. Not aligned to anything.
    pub bytes: &'a [u8],
}

impl SafetensorsFile {
    /// Maps and checks a file. Reads its header only.
    pub fn open(path: &Path) -> Result<Self, SafetensorsError> {
        let bytes =
            Bytes::map(path).map_err(|error| SafetensorsError { file: path.to_owned(), problem: error.into() })?;
        let file = Self::check(path, bytes)?;
        file.bytes.read_at_random();
        Ok(file)
    }

    /// Checks a file that is in memory; `name` stands in errors.
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, SafetensorsError> {
        Self::check(name, Bytes::Owned(bytes))
    }

    fn check(path: &Path, bytes: Bytes) -> Result<Self, SafetensorsError> {
        let tensors =
            header::read(bytes.as_slice()).map_err(|problem| SafetensorsError { file: path.to_owned(), problem })?;
        Ok(Self { path: path.to_owned(), bytes, tensors })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensor of this name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<SafetensorsView<'_>> {
        self.tensors.get_key_value(name).map(|(name, place)| self.view(name, place))
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> impl Iterator<Item = SafetensorsView<'_>> {
        self.tensors.iter().map(|(name, place)| self.view(name, place))
    }

    /// Starts reading a part of a tensor from disk.
    pub fn prefetch(&self, part: &[u8]) {
        self.bytes.prefetch(part);
    }

    /// Says that a part of a tensor will not be read again soon.
    pub fn release(&self, part: &[u8]) {
        self.bytes.release(part);
    }

    fn view<'a>(&'a self, name: &'a str, place: &'a Place) -> SafetensorsView<'a> {
        let bytes = &self.bytes.as_slice()[place.bytes.clone()];
        SafetensorsView { name, element: place.element, shape: &place.shape, bytes }
    }
}
