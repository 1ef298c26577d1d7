//! An open model file whose shape was checked, and what of it a stage takes.

use std::{ops::Range, path::Path, sync::Arc};

use exo_gguf::{GgufFile, TensorView};

use crate::{arch::Family, config::ModelConfig, load_error::LoadError, metadata::Metadata, options::EngineOptions};

/// A model file. Tensors are read when they are asked for.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) file: Arc<GgufFile>,
    pub(crate) config: Arc<ModelConfig>,
    pub(crate) family: &'static Family,
}

impl Model {
    /// Opens the file, and checks its metadata and the names of its tensors.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        Self::of_file(GgufFile::open(path)?)
    }

    pub(crate) fn of_file(file: GgufFile) -> Result<Self, LoadError> {
        let (config, family) = ModelConfig::read(&Metadata::of(&file))?;
        let stranger = file.tensors().find(|tensor| !family.tensors.knows(tensor.name, config.layers));
        if let Some(stranger) = stranger {
            return Err(LoadError::UnknownTensor(stranger.name.to_owned()));
        }
        Ok(Self { file: Arc::new(file), config: Arc::new(config), family })
    }

    pub(crate) fn metadata(&self) -> Metadata<'_> {
        Metadata::of(&self.file)
    }

    /// The matrix `name` with the shape that the configuration asks for.
    pub(crate) fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<TensorView<'_>, LoadError> {
        self.shaped(name, &[inputs, outputs])
    }

    /// The vector `name` as numbers; vectors are stored as f32.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        let tensor = self.shaped(name, &[length])?;
        if !exo_gguf::dequantize::supports(tensor.dtype) {
            return Err(LoadError::VectorType { name: name.to_owned(), dtype: tensor.dtype.name() });
        }
        Ok(exo_gguf::dequantize::to_vec(tensor.dtype, tensor.bytes))
    }

    /// The matrix that turns hidden states into logits: its own, or the embedding.
    pub(crate) fn head(&self) -> Result<TensorView<'_>, LoadError> {
        let names = &self.family.tensors;
        let name = if self.file.opt_tensor(names.output).is_some() { names.output } else { names.embedding };
        self.matrix(name, self.config.hidden, self.config.vocabulary)
    }

    /// Full name of a tensor of a layer.
    pub(crate) fn layer_name(layer: usize, name: &str) -> String {
        format!("blk.{layer}.{name}")
    }

    /// Bytes of the tensors of `layers` in the file.
    pub(crate) fn layer_bytes(&self, layers: &Range<usize>) -> u64 {
        let is_ours = |name: &str| crate::arch::layer_of(name).is_some_and(|(layer, _)| layers.contains(&layer));
        self.file.tensors().filter(|tensor| is_ours(tensor.name)).map(|tensor| tensor.bytes.len() as u64).sum()
    }

    fn shaped(&self, name: &str, expected: &[usize]) -> Result<TensorView<'_>, LoadError> {
        let tensor = self.file.tensor(name)?;
        if tensor.shape != expected {
            let (expected, got) = (expected.to_vec(), tensor.shape.to_vec());
            return Err(LoadError::TensorShape { name: name.to_owned(), expected, got });
        }
        Ok(tensor)
    }
}

/// The layers that `options` ask for, after a check of all of them.
pub(crate) fn layer_range(config: &ModelConfig, options: &EngineOptions) -> Result<Range<usize>, LoadError> {
    let option = |name, value: u64, max| {
        let is_in_range = (1..=max).contains(&value);
        is_in_range.then_some(()).ok_or(LoadError::Option { name, value, min: 1, max })
    };
    option("the number of threads", options.threads as u64, 1024)?;
    option("the context", u64::from(options.context), 1 << 24)?;
    option("the number of sequences", u64::from(options.max_sequences), 1024)?;
    option("the prefill chunk", u64::from(options.prefill_chunk), 1 << 16)?;
    let layers = options.layers.clone().unwrap_or(0..config.layers);
    if layers.is_empty() || layers.end > config.layers {
        return Err(LoadError::Layers { start: layers.start, end: layers.end, layers: config.layers });
    }
    Ok(layers)
}
