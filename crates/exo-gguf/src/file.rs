//! An open file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{GgufError, Problem};
use crate::map::Bytes;
use crate::metadata::Metadata;
use crate::parse::parse;
use crate::tensor::{TensorInfo, TensorView};

/// A GGUF file whose header has been checked; tensors are read from the mapping when they are touched.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    bytes: Bytes,
    metadata: Metadata,
    tensors: BTreeMap<String, TensorInfo>,
}

impl GgufFile {
    /// Maps and checks a file. Reads its header only.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let bytes = Bytes::map(path).map_err(|error| GgufError { file: path.to_owned(), problem: error.into() })?;
        let file = Self::check(path, bytes)?;
        file.bytes.read_at_random();
        Ok(file)
    }

    /// Checks a file that is in memory; `name` stands in errors.
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, GgufError> {
        Self::check(name, Bytes::Owned(bytes))
    }

    fn check(path: &Path, bytes: Bytes) -> Result<Self, GgufError> {
        let contents = parse(bytes.as_slice()).map_err(|problem| GgufError { file: path.to_owned(), problem })?;
        let metadata = Metadata::new(path, contents.entries);
        Ok(Self { path: path.to_owned(), bytes, metadata, tensors: contents.tensors })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.as_slice().len() as u64
    }

    /// The key-value section.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensor of this name, or an error that names file and tensor.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>, GgufError> {
        let missing = || Problem::MissingTensor { name: name.to_owned() };
        self.opt_tensor(name).ok_or_else(|| GgufError { file: self.path.clone(), problem: missing() })
    }

    /// The tensor of this name, if there is one.
    pub fn opt_tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.tensors.get_key_value(name).map(|(name, info)| self.view(name, info))
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> impl Iterator<Item = TensorView<'_>> {
        self.tensors.iter().map(|(name, info)| self.view(name, info))
    }

    /// Starts reading a part of a tensor (a range of [`TensorView::bytes`]) from disk, so that the pass over it that
    /// follows does not wait for each page.
    pub fn prefetch(&self, part: &[u8]) {
        self.bytes.prefetch(part);
    }

    /// Says that a part of a tensor will not be read again soon (it has been packed): its pages need no memory any more.
    pub fn release(&self, part: &[u8]) {
        self.bytes.release(part);
    }

    fn view<'a>(&'a self, name: &'a str, info: &'a TensorInfo) -> TensorView<'a> {
        let start = usize::try_from(info.start).expect("tensors lie inside the mapping");
        let length = usize::try_from(info.length).expect("tensors lie inside the mapping");
        let bytes = &self.bytes.as_slice()[start..start + length];
        TensorView { name, dtype: info.dtype, shape: &info.shape, bytes }
    }
}
