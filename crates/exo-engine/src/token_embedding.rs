//! The begin of a model: tokens to hidden states. Only rank 0 has it.

use crate::{
    arch::tensors,
    device::Device,
    load_error::LoadError,
    model::Model,
    plan::BatchPlan,
    stage::{LayerNorm, StageError},
};

/// The table of the tokens' hidden states. Rows are read from the file when their tokens come.
pub(crate) struct TokenEmbedding<D: Device> {
    model: Model,
    begin: Option<EncoderBegin<D>>,
}

/// What an encoder makes of the rows before its first layer.
struct EncoderBegin<D: Device> {
    /// The row of the type that all tokens have here: of two texts that belong together the first.
    token_type: Vec<f32>,
    norm: LayerNorm<D>,
    rows: D::Buffer,
}

impl<D: Device> TokenEmbedding<D> {
    /// For steps of up to `rows` tokens.
    pub(crate) fn load(model: &Model, device: &mut D, rows: u32) -> Result<Self, LoadError> {
        let config = &model.config;
        model.matrix(tensors::EMBEDDING, config.hidden, config.vocabulary)?;
        let begin = match model.architecture.learned_positions {
            true => Some(EncoderBegin::load(model, device, rows as usize)?),
            false => None,
        };
        Ok(Self { model: model.clone(), begin })
    }

    /// Bytes of what it keeps in memory.
    pub(crate) fn bytes(model: &Model, rows: u32) -> u64 {
        let rows = if model.architecture.learned_positions { u64::from(rows) + 3 } else { 0 };
        rows * (model.config.hidden * size_of::<f32>()) as u64
    }

    /// One row of hidden states for each token of a step.
    pub(crate) fn rows_of(&mut self, device: &mut D, plan: &BatchPlan, tokens: &[u32]) -> Result<Vec<f32>, StageError> {
        let config = &self.model.config;
        let mut rows = vec![0.0; tokens.len() * config.hidden];
        for (&token, row) in tokens.iter().zip(rows.chunks_exact_mut(config.hidden)) {
            if token as usize >= config.vocabulary {
                return Err(StageError::UnknownToken(token));
            }
            read_row(&self.model, tensors::EMBEDDING, config.vocabulary, token as usize, row);
            if config.embedding_scale != 1.0 {
                row.iter_mut().for_each(|value| *value *= config.embedding_scale);
            }
        }
        if let Some(begin) = &mut self.begin {
            begin.finish(&self.model, device, plan, &mut rows);
        }
        Ok(rows)
    }
}

impl<D: Device> EncoderBegin<D> {
    fn load(model: &Model, device: &mut D, rows: usize) -> Result<Self, LoadError> {
        let config = &model.config;
        model.matrix(tensors::POSITIONS, config.hidden, config.context)?;
        model.matrix(tensors::TYPES, config.hidden, config.token_types)?;
        let mut token_type = vec![0.0; config.hidden];
        read_row(model, tensors::TYPES, config.token_types, 0, &mut token_type);
        let norm = LayerNorm::load(model, device, tensors::EMBEDDING_NORM)?;
        Ok(Self { token_type, norm, rows: device.buffer(rows, config.hidden)? })
    }

    /// Adds positions and types, and normalises.
    fn finish(&mut self, model: &Model, device: &mut D, plan: &BatchPlan, rows: &mut [f32]) {
        let config = &model.config;
        let positions = plan.sequences.iter().flat_map(|sequence| sequence.start..sequence.start + sequence.tokens);
        let mut position_row = vec![0.0; config.hidden];
        for (position, row) in positions.zip(rows.chunks_exact_mut(config.hidden)) {
            read_row(model, tensors::POSITIONS, config.context, position as usize, &mut position_row);
            for ((value, position), token_type) in row.iter_mut().zip(&position_row).zip(&self.token_type) {
                *value += token_type + position;
            }
        }
        device.write(rows, &mut self.rows);
        self.norm.apply(device, &mut self.rows);
        device.read(&self.rows, rows);
    }
}

/// Row `index`, which there is, of a table whose shape was checked.
fn read_row(model: &Model, name: &str, rows: usize, index: usize, row: &mut [f32]) {
    let table = model
        .matrix(name, row.len(), rows)
        .expect("it was there when the model was loaded, and files do not change their header")
        .tensor;
    exo_gguf::dequantize::row(table.dtype, &table.read(index..index + 1), row);
}
