//! What a model thinks of a given text: logits and perplexity, for conformance and for judging quantisation.

use exo_text::TokenizeError;
use thiserror::Error;

use crate::{
    engine::Engine,
    engine_error::EngineError,
    plan::{BatchPlan, CacheMoves, Rows, SequencePlan},
};

/// A text that cannot be judged.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The engine has requests.
    #[error("the engine is working on requests; wait until it is idle")]
    Busy,
    /// An encoder, which predicts nothing.
    #[error("the model is an encoder, which predicts no text")]
    NoText,
    /// Nothing to predict.
    #[error("the text has {0} tokens; at least two are needed")]
    TooShort(usize),
    /// More than one sequence holds.
    #[error("the text has {tokens} tokens, but the context holds {context}; cut it")]
    TooLong {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a sequence.
        context: usize,
    },
    /// The text could not be turned into tokens.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// A step failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How well a model predicts a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perplexity {
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Mean negative log likelihood of a token, in nats.
    pub loss: f64,
}

impl Perplexity {
    /// e to the loss: among how many tokens the model hesitates, so to speak. Lower is better.
    pub fn value(&self) -> f64 {
        self.loss.exp()
    }
}

impl Engine {
    /// The logits after each of `tokens`, row after row. The engine must be idle; what its slots hold is forgotten.
    pub fn score(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EvaluateError> {
        let mut rows = Vec::new();
        self.score_with(tokens, &mut |_, row| rows.extend_from_slice(row))?;
        Ok(rows)
    }

    /// Like [`Self::score`], but hands each row to `visit`, with its position: for vocabularies that are large.
    pub fn score_with(&mut self, tokens: &[u32], visit: &mut dyn FnMut(usize, &[f32])) -> Result<(), EvaluateError> {
        if !self.is_idle() {
            return Err(EvaluateError::Busy);
        }
        if self.config().is_encoder {
            return Err(EvaluateError::NoText);
        }
        let context = self.context() as usize;
        if tokens.len() > context {
            return Err(EvaluateError::TooLong { tokens: tokens.len(), context });
        }
        let vocabulary = self.config().vocabulary;
        let chunk = self.prefill_chunk();
        for (index, part) in tokens.chunks(chunk).enumerate() {
            let start = index * chunk;
            let sequence = SequencePlan { slot: 0, start: start as u32, tokens: part.len() as u32, rows: Rows::All };
            // What was there before would take memory beside.
            let moves = CacheMoves { clears: index == 0, ..CacheMoves::default() };
            let plan = BatchPlan { step: self.next_step_number(), sequences: vec![sequence], moves };
            let logits = self.compute(&plan, part)?;
            for (row, logits) in logits.chunks_exact(vocabulary).enumerate() {
                visit(start + row, logits);
            }
        }
        Ok(())
    }

    /// How well the model predicts `text`, read in pieces of at most the context, each on its own.
    pub fn perplexity(&mut self, text: &str) -> Result<Perplexity, EvaluateError> {
        let tokens = self.tokenizer().encode_prompt(text, exo_text::ControlTokens::Parse)?;
        if tokens.len() < 2 {
            return Err(EvaluateError::TooShort(tokens.len()));
        }
        let (mut sum, mut count) = (0.0, 0);
        for piece in tokens.chunks(self.context() as usize) {
            self.score_with(piece, &mut |position, logits| {
                if let Some(&next) = piece.get(position + 1) {
                    sum -= log_probability(logits, next);
                    count += 1;
                }
            })?;
        }
        Ok(Perplexity { tokens: count, loss: sum / f64::from(count.max(1) as u32) })
    }
}

/// Natural logarithm of the probability of `token`.
fn log_probability(logits: &[f32], token: u32) -> f64 {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - highest).exp()).sum();
    f64::from(logits[token as usize]) - highest - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_a_softmax() {
        let logits = [1.0f32, 2.0, 3.0].map(|value| value + 500.0);
        let sum: f64 = (1..=3).map(|value| f64::from(value).exp()).sum();
        assert!((log_probability(&logits, 1) - (2f64.exp() / sum).ln()).abs() < 1e-6);
    }
}
