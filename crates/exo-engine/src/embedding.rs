//! Embeddings: the hidden states of a text become one vector.

use exo_text::{Tokenizer, TokenizerModel};

use crate::{config::ModelConfig, load_error::LoadError, metadata::Metadata};

/// The token that ends texts, as the first files of BERT's kind leave it out.
const SEPARATOR: u32 = 102;

/// How the states of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token, which encoders are trained to sum a text up in. A decoder's has seen nothing else.
    Cls,
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
    pub(crate) fn read(
        metadata: &Metadata<'_>,
        config: &ModelConfig,
        tokenizer: &Tokenizer,
    ) -> Result<Self, LoadError> {
        let key = format!("{}.pooling_type", config.architecture);
        let pooling = match metadata.has(&key).then(|| metadata.whole(&key, 0, 16)).transpose()? {
            // GGUF's numbers: 0 is none, 1 the mean, 2 the first token, 3 the last.
            None | Some(0 | 1) => Pooling::Mean,
            Some(2) if config.is_encoder => Pooling::Cls,
            Some(3) => Pooling::Last,
            Some(other) => return Err(LoadError::Pooling(other)),
        };
        let end = end_token(metadata, tokenizer)?;
        match end.filter(|&end| end as usize >= tokenizer.len()) {
            Some(end) => Err(LoadError::EndToken { token: end, tokens: tokenizer.len() }),
            None => Ok(Self { pooling, end }),
        }
    }
}

/// The token that is put behind a text.
fn end_token(metadata: &Metadata<'_>, tokenizer: &Tokenizer) -> Result<Option<u32>, LoadError> {
    if let Some(end) = metadata.token("tokenizer.exo.end_token_id")? {
        return Ok(Some(end));
    }
    let eos = tokenizer.special().eos;
    if matches!(tokenizer.model(), TokenizerModel::WordPiece(_)) {
        let adds = metadata.flag("tokenizer.ggml.add_sep_token")?.unwrap_or(true);
        // So the key is spelled.
        let separator = metadata.token("tokenizer.ggml.seperator_token_id")?;
        return Ok(adds.then(|| separator.or(eos).unwrap_or(SEPARATOR)));
    }
    let adds = metadata.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
    Ok(eos.filter(|_| adds))
}

/// States as they come, step after step.
#[derive(Debug)]
pub(crate) struct PooledStates {
    pooling: Pooling,
    sum: Vec<f64>,
    has_first: bool,
}

impl PooledStates {
    pub(crate) fn new(width: usize, pooling: Pooling) -> Self {
        Self { pooling, sum: vec![0.0; width], has_first: false }
    }

    /// Adds rows of hidden states: those of all tokens in their order, or the last one's where that is wanted.
    pub(crate) fn add(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.sum.len()) {
            if self.pooling == Pooling::Cls && self.has_first {
                return;
            }
            self.has_first = true;
            self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }

    /// What they become, of length one. All zeros stay so.
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
    fn rows_become_their_mean_or_the_first_of_length_one() {
        let pooled = |pooling| {
            let mut states = PooledStates::new(2, pooling);
            states.add(&[4.0, 3.0, -1.0, 5.0]);
            states.add(&[0.0, -4.0]);
            states.unit()
        };
        assert_eq!(pooled(Pooling::Mean), [0.6, 0.8]);
        assert_eq!(pooled(Pooling::Cls), [0.8, 0.6]);
        assert_eq!(PooledStates::new(2, Pooling::Mean).unit(), [0.0, 0.0]);
    }
}
