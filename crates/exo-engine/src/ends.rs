//! Both ends of the decoder: tokens to hidden states, and hidden states to logits. Only rank 0 has them.

use crate::{
    arch::tensors,
    device::Device,
    load_error::LoadError,
    model::Model,
    stage::{Loading, StageError},
};

/// Most rows whose logits are computed at once; bounds the memory for logits.
const HEAD_ROWS: usize = 64;

/// The embedding, the last norm and the head.
pub(crate) struct Ends<D: Device> {
    model: Model,
    norm: D::Buffer,
    head: D::Weights,
    rows: D::Buffer,
    normed: D::Buffer,
    logits: D::Buffer,
}

impl<D: Device> Ends<D> {
    pub(crate) fn load(model: &Model, device: &mut D, loading: &mut Loading<'_>) -> Result<Self, LoadError> {
        let config = &model.config;
        // Rows of the embedding are read from the file when their tokens come.
        model.matrix(tensors::EMBEDDING, config.hidden, config.vocabulary)?;
        let weight = model.vector(tensors::OUTPUT_NORM, config.hidden)?;
        let mut norm = device.buffer(1, config.hidden)?;
        device.write(&weight, &mut norm);
        let head = loading.weights(model, device, &model.head()?)?;
        Ok(Self {
            norm,
            head,
            rows: device.buffer(HEAD_ROWS, config.hidden)?,
            normed: device.buffer(HEAD_ROWS, config.hidden)?,
            logits: device.buffer(HEAD_ROWS, config.vocabulary)?,
            model: model.clone(),
        })
    }

    /// Bytes of the head's weights and of the buffers.
    pub(crate) fn bytes(model: &Model) -> Result<u64, LoadError> {
        let config = &model.config;
        let buffers = HEAD_ROWS * (2 * config.hidden + config.vocabulary) * size_of::<f32>();
        Ok(model.head()?.bytes() + buffers as u64)
    }

    /// One row of hidden states for each token.
    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>, StageError> {
        let config = &self.model.config;
        let table = self
            .model
            .matrix(tensors::EMBEDDING, config.hidden, config.vocabulary)
            .expect("it was there when the model was loaded, and files do not change their header")
            .tensor;
        let mut rows = vec![0.0; tokens.len() * config.hidden];
        for (&token, row) in tokens.iter().zip(rows.chunks_exact_mut(config.hidden)) {
            let index = token as usize;
            if index >= table.rows() {
                return Err(StageError::UnknownToken(token));
            }
            exo_gguf::dequantize::row(table.dtype, &table.read(index..index + 1), row);
            if config.embedding_scale != 1.0 {
                row.iter_mut().for_each(|value| *value *= config.embedding_scale);
            }
        }
        Ok(rows)
    }

    /// The rows of hidden states as the head sees them: normalised.
    pub(crate) fn normed(&mut self, device: &mut D, hidden: &[f32]) -> Vec<f32> {
        let config = &self.model.config;
        let mut normed = vec![0.0; hidden.len()];
        let parts = hidden.chunks(HEAD_ROWS * config.hidden).zip(normed.chunks_mut(HEAD_ROWS * config.hidden));
        for (hidden, normed) in parts {
            device.write(hidden, &mut self.rows);
            device.rms_norm(&self.rows, &self.norm, config.norm_epsilon, &mut self.normed);
            device.read(&self.normed, normed);
        }
        normed
    }

    /// One row of logits for each row of hidden states.
    pub(crate) fn logits(&mut self, device: &mut D, hidden: &[f32]) -> Vec<f32> {
        let config = &self.model.config;
        let mut logits = vec![0.0; hidden.len() / config.hidden * config.vocabulary];
        let parts = hidden.chunks(HEAD_ROWS * config.hidden).zip(logits.chunks_mut(HEAD_ROWS * config.vocabulary));
        for (hidden, logits) in parts {
            device.write(hidden, &mut self.rows);
            device.rms_norm(&self.rows, &self.norm, config.norm_epsilon, &mut self.normed);
            device.products(&self.normed, [(&self.head, &mut self.logits)]);
            if let Some(cap) = config.logit_soft_cap {
                device.soft_cap(&mut self.logits, cap);
            }
            device.read(&self.logits, logits);
        }
        logits
    }
}
