//! The end of the decoder: hidden states to logits. Rank 0 has it, and those that share its layers.

use crate::{
    arch::tensors,
    device::Device,
    load_error::LoadError,
    model::Model,
    stage::{Kind, Loading, Split, Stage, StageError},
};

/// Most rows whose logits are computed at once; bounds the memory for logits.
const HEAD_ROWS: usize = 64;

/// The last norm and this rank's rows of the head.
pub(crate) struct Head<D: Device> {
    model: Model,
    norm: D::Buffer,
    weights: D::Weights,
    rows: D::Buffer,
    normed: D::Buffer,
    logits: D::Buffer,
}

impl<D: Device> Head<D> {
    pub(crate) fn load(
        model: &Model,
        device: &mut D,
        split: &Split,
        loading: &mut Loading<'_>,
    ) -> Result<Self, LoadError> {
        let config = &model.config;
        let weight = model.vector(tensors::OUTPUT_NORM, config.hidden)?;
        let mut norm = device.buffer(1, config.hidden)?;
        device.write(&weight, &mut norm);
        let tokens = split.rows(Kind::Vocabulary);
        let weights = loading.weights(model, device, &model.head()?.sub_rows(tokens.clone()))?;
        Ok(Self {
            norm,
            weights,
            rows: device.buffer(HEAD_ROWS, config.hidden)?,
            normed: device.buffer(HEAD_ROWS, config.hidden)?,
            logits: device.buffer(HEAD_ROWS, tokens.len())?,
            model: model.clone(),
        })
    }

    /// Bytes of this rank's weights.
    pub(crate) fn weight_bytes(model: &Model, split: &Split) -> Result<u64, LoadError> {
        Ok(model.head()?.sub_rows(split.rows(Kind::Vocabulary)).bytes())
    }

    /// Bytes of the buffers.
    pub(crate) fn buffer_bytes(model: &Model, split: &Split) -> u64 {
        let tokens = split.rows(Kind::Vocabulary).len();
        (HEAD_ROWS * (2 * model.config.hidden + tokens) * size_of::<f32>()) as u64
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

    /// One row of logits for each row of hidden states. Where ranks share the head, they are those of all tokens on the
    /// rank that leads only.
    pub(crate) fn logits(&mut self, stage: &mut Stage<D>, hidden: &[f32]) -> Result<Vec<f32>, StageError> {
        let config = &self.model.config;
        let mut logits = vec![0.0; hidden.len() / config.hidden * config.vocabulary];
        let parts = hidden.chunks(HEAD_ROWS * config.hidden).zip(logits.chunks_mut(HEAD_ROWS * config.vocabulary));
        for (hidden, logits) in parts {
            let rows = hidden.len() / config.hidden;
            let (device, sharing) = stage.parts(rows);
            device.write(hidden, &mut self.rows);
            device.rms_norm(&self.rows, &self.norm, config.norm_epsilon, &mut self.normed);
            device.products(&self.normed, [(&self.weights, &mut self.logits)]);
            if let Some(cap) = config.logit_soft_cap {
                device.soft_cap(&mut self.logits, cap);
            }
            match sharing {
                Some(mut sharing) => sharing.gather_to_leader(device, Kind::Vocabulary, rows, &self.logits, logits)?,
                None => device.read(&self.logits, logits),
            }
        }
        Ok(logits)
    }
}
