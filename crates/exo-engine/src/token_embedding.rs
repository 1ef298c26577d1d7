//! The begin of the decoder: tokens to hidden states. Only rank 0 has it.

use crate::{arch::tensors, load_error::LoadError, model::Model, stage::StageError};

/// The table of the tokens' hidden states. Rows are read from the file when their tokens come.
pub(crate) struct TokenEmbedding {
    model: Model,
}

impl TokenEmbedding {
    pub(crate) fn load(model: &Model) -> Result<Self, LoadError> {
        model.matrix(tensors::EMBEDDING, model.config.hidden, model.config.vocabulary)?;
        Ok(Self { model: model.clone() })
    }

    /// One row of hidden states for each token.
    pub(crate) fn rows_of(&self, tokens: &[u32]) -> Result<Vec<f32>, StageError> {
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
}
