//! Embeddings: the hidden states of a text become one vector.

use exo_text::Tokenizer;

use crate::{load_error::LoadError, metadata::Metadata};

/// How the states of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the last token, which is the only one of a decoder that has seen everything.
    Last,
}

/// What the model's files say of embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EmbeddingRules {
    /// How the model was trained to be read; the mean where it was not.
    pub(crate) pooling: Pooling,
    /// Put behind each text.
    pub(crate) end: Option<u32>,
}

impl EmbeddingRules {
    pub(crate) fn read(metadata: &Metadata<'_>, architecture: &str, tokenizer: &Tokenizer) -> Result<Self, LoadError> {
        let key = format!("{architecture}.pooling_type");
        let pooling = match metadata.has(&key).then(|| metadata.whole(&key, 0, 16)).transpose()? {
            // GGUF's numbers: 0 is none, 1 the mean, 2 the first token, 3 the last.
            None | Some(0 | 1) => Pooling::Mean,
            Some(3) => Pooling::Last,
            Some(other) => return Err(LoadError::Pooling(other)),
        };
        let adds_end = metadata.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
        let end = match metadata.token("tokenizer.exo.end_token_id")? {
            Some(end) => Some(end),
            None => tokenizer.special().eos.filter(|_| adds_end),
        };
        match end.filter(|&end| end as usize >= tokenizer.len()) {
            Some(end) => Err(LoadError::EndToken { token: end, tokens: tokenizer.len() }),
            None => Ok(Self { pooling, end }),
        }
    }
}

/// States as they come, step after step.
#[derive(Debug)]
pub(crate) struct PooledStates {
    sum: Vec<f64>,
}

impl PooledStates {
    pub(crate) fn new(width: usize) -> Self {
        Self { sum: vec![0.0; width] }
    }

    /// Adds normalised rows of hidden states.
    pub(crate) fn add(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.sum.len()) {
            self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }

    /// Their mean, of length one. All zeros stay so.
    pub(crate) fn unit(&self) -> Vec<f32> {
        // The length does not depend on how many rows were added.
        let length = self.sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        self.sum.iter().map(|value| (value * scale) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_their_mean_of_length_one() {
        let mut states = PooledStates::new(2);
        states.add(&[1.0, 0.0, 2.0, 8.0]);
        states.add(&[0.0, -4.0]);
        assert_eq!(states.unit(), [0.6, 0.8]);
        assert_eq!(PooledStates::new(2).unit(), [0.0, 0.0]);
    }
}
