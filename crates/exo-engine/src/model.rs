//! An open model whose shape was checked, and what of it a stage takes.

use std::{ops::Range, path::Path, sync::Arc};

use exo_weights::{ModelFiles, Quantisation, Tensor};

use crate::{
    arch::{self, Architecture, TensorNames, tensors},
    config::{ModelConfig, RopeLayout},
    device::MatrixPart,
    load_error::LoadError,
    metadata::Metadata,
    options::EngineOptions,
};

/// A model's files. Tensors are read when they are asked for.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) files: Arc<ModelFiles>,
    pub(crate) config: Arc<ModelConfig>,
    pub(crate) architecture: &'static Architecture,
}

impl Model {
    /// Opens a file or directory, and checks its metadata and the names of its tensors.
    pub(crate) fn open(path: &Path, quantisation: Option<Quantisation>) -> Result<Self, LoadError> {
        let files = ModelFiles::open(path)?.quantised(quantisation);
        let layout = files.heads_are_halves().then_some(RopeLayout::Halves);
        let (config, architecture) = ModelConfig::read(&Metadata::of(&files), layout)?;
        let names = TensorNames::new(architecture, config.layers, config.experts.is_some());
        if let Some(stranger) = files.tensors().find(|tensor| !names.knows(tensor.name)) {
            return Err(LoadError::UnknownTensor(stranger.name.to_owned()));
        }
        Ok(Self { files: Arc::new(files), config: Arc::new(config), architecture })
    }

    pub(crate) fn metadata(&self) -> Metadata<'_> {
        Metadata::of(&self.files)
    }

    /// The matrix `name` with the shape that the configuration asks for.
    pub(crate) fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<MatrixPart<'_>, LoadError> {
        Ok(MatrixPart::rows_of(self.shaped(name, &[inputs, outputs])?, 0..outputs))
    }

    /// Consecutive matrices of which the tensor `name` consists: of these numbers of outputs, and nothing else.
    pub(crate) fn fused_matrices<const N: usize>(
        &self,
        name: &str,
        inputs: usize,
        outputs: [usize; N],
    ) -> Result<[MatrixPart<'_>; N], LoadError> {
        let tensor = self.shaped(name, &[inputs, outputs.iter().sum()])?;
        let mut first = 0;
        Ok(outputs.map(|outputs| {
            first += outputs;
            MatrixPart::rows_of(tensor, first - outputs..first)
        }))
    }

    /// The matrix of one of `count` experts: a part of the tensor `name` that holds all of them, or, where the files
    /// have no such, a tensor of its own.
    pub(crate) fn expert_matrix(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        (expert, count): (usize, usize),
    ) -> Result<MatrixPart<'_>, LoadError> {
        if self.files.opt_tensor(name).is_none() {
            let own = arch::tensors::expert_tensor(name, expert);
            if self.files.opt_tensor(&own).is_some() {
                return self.matrix(&own, inputs, outputs);
            }
        }
        let tensor = self.shaped(name, &[inputs, outputs, count])?;
        Ok(MatrixPart::rows_of(tensor, expert * outputs..(expert + 1) * outputs))
    }

    /// The vector `name` as numbers; vectors are stored as f32.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        self.numbers(name, &[length])
    }

    /// All numbers of a small tensor of this shape.
    pub(crate) fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let tensor = self.shaped(name, shape)?;
        tensor.floats().ok_or_else(|| LoadError::VectorType { name: name.to_owned(), dtype: tensor.dtype.name() })
    }

    /// The matrix that turns hidden states into logits: its own, or the embedding.
    pub(crate) fn head(&self) -> Result<MatrixPart<'_>, LoadError> {
        let has_own = self.files.opt_tensor(tensors::OUTPUT).is_some();
        let name = if has_own { tensors::OUTPUT } else { tensors::EMBEDDING };
        self.matrix(name, self.config.hidden, self.config.vocabulary)
    }

    /// Divisors of the rotary frequencies for sequences of up to `context` tokens, where the file has any.
    pub(crate) fn rope_factors(&self, context: usize) -> Result<Option<Vec<f32>>, LoadError> {
        let is_long = self.config.original_context.is_some_and(|original| context > original);
        let by_length = if is_long { tensors::ROPE_FACTORS_LONG } else { tensors::ROPE_FACTORS_SHORT };
        let name = [tensors::ROPE_FACTORS, by_length].into_iter().find(|name| self.files.opt_tensor(name).is_some());
        let pairs = self.config.rope.as_ref().map_or(0, |rope| rope.dimensions / 2);
        name.map(|name| self.vector(name, pairs)).transpose()
    }

    /// Bytes of the tensors of `layers` as they are read.
    pub(crate) fn layer_bytes(&self, layers: &Range<usize>) -> u64 {
        let is_ours = |name: &str| arch::layer_of(name).is_some_and(|(layer, _)| layers.contains(&layer));
        self.files.tensors().filter(|tensor| is_ours(tensor.name)).map(|tensor| tensor.bytes()).sum()
    }

    fn shaped(&self, name: &str, expected: &[usize]) -> Result<Tensor<'_>, LoadError> {
        let tensor = self.files.tensor(name)?;
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
    option("the number of guessed tokens, and one", u64::from(options.draft) + 1, 1 << 10)?;
    let layers = options.layers.clone().unwrap_or(0..config.layers);
    if layers.is_empty() || layers.end > config.layers {
        return Err(LoadError::Layers { start: layers.start, end: layers.end, layers: config.layers });
    }
    Ok(layers)
}
