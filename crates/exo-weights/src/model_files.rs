//! An open model.

use std::path::Path;

use exo_gguf::{GgufFile, Metadata};

use crate::error::WeightsError;
use crate::hugging_face::Directory;
use crate::quantisation::Quantisation;
use crate::tensor::Tensor;

/// The files of a model, checked; tensors are read when they are asked for.
#[derive(Debug)]
pub struct ModelFiles {
    files: Files,
    quantisation: Option<Quantisation>,
}

#[derive(Debug)]
enum Files {
    Gguf(GgufFile),
    HuggingFace(Box<Directory>),
}

impl ModelFiles {
    /// Opens a GGUF file, or a directory with `config.json`, `tokenizer.json` and safetensors files. Reads headers only.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let files = if path.is_dir() {
            Files::HuggingFace(Box::new(Directory::open(path)?))
        } else {
            Files::Gguf(GgufFile::open(path)?)
        };
        Ok(Self { files, quantisation: None })
    }

    /// The same with matrices of floats read in a smaller type; what is quantised already stays as it is.
    pub fn quantised(self, quantisation: Option<Quantisation>) -> Self {
        Self { quantisation, ..self }
    }

    /// Metadata under GGUF's keys.
    pub fn metadata(&self) -> &Metadata {
        match &self.files {
            Files::Gguf(file) => file.metadata(),
            Files::HuggingFace(directory) => directory.metadata(),
        }
    }

    /// Whether the rows of query and key stand in transformers' order: the dimensions that turn together are the halves of
    /// a head, also where GGUF files of the architecture have them as neighbours.
    pub fn heads_are_halves(&self) -> bool {
        matches!(self.files, Files::HuggingFace(_))
    }

    /// The tensor of this name, or an error that names it.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>, WeightsError> {
        let tensor = match &self.files {
            Files::Gguf(file) => file.tensor(name)?.into(),
            Files::HuggingFace(directory) => directory.tensor(name)?,
        };
        Ok(self.in_its_type(tensor))
    }

    /// The tensor of this name, if there is one.
    pub fn opt_tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let tensor = match &self.files {
            Files::Gguf(file) => file.opt_tensor(name).map(Tensor::from),
            Files::HuggingFace(directory) => directory.opt_tensor(name),
        };
        tensor.map(|tensor| self.in_its_type(tensor))
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> Box<dyn Iterator<Item = Tensor<'_>> + '_> {
        match &self.files {
            Files::Gguf(file) => Box::new(file.tensors().map(|view| self.in_its_type(view.into()))),
            Files::HuggingFace(directory) => Box::new(directory.tensors().map(|tensor| self.in_its_type(tensor))),
        }
    }

    /// Starts reading [a part of a tensor](Tensor::stored) from disk, so that the pass over it that follows does not wait
    /// for each page.
    pub fn prefetch(&self, part: &[u8]) {
        match &self.files {
            Files::Gguf(file) => file.prefetch(part),
            Files::HuggingFace(directory) => directory.prefetch(part),
        }
    }

    /// Says that [a part of a tensor](Tensor::stored) will not be read again soon: its pages need no memory any more.
    pub fn release(&self, part: &[u8]) {
        match &self.files {
            Files::Gguf(file) => file.release(part),
            Files::HuggingFace(directory) => directory.release(part),
        }
    }

    fn in_its_type<'a>(&self, tensor: Tensor<'a>) -> Tensor<'a> {
        match self.quantisation {
            Some(wanted) => tensor.read_as(wanted.type_of(tensor.name, tensor.shape, tensor.dtype)),
            None => tensor,
        }
    }
}

impl From<GgufFile> for ModelFiles {
    fn from(file: GgufFile) -> Self {
        Self { files: Files::Gguf(file), quantisation: None }
    }
}
