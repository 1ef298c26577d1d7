//! How the next token is chosen: the parameters, checked once at the edge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest window that penalties may look back over, in tokens.
pub const MAX_PENALTY_WINDOW: u32 = 4096;
/// Most alternatives that may be reported with a token.
pub const MAX_TOP_LOGPROBS: u32 = 20;
/// Most entries of a `logit_bias`.
pub const MAX_LOGIT_BIAS: usize = 1024;

/// Parameters of one request's sampler; the default is greedy.
///
/// Order of the steps: logit bias, penalties, temperature, top-k, top-p, min-p, draw. A temperature of 0 takes the
/// token with the highest logit after bias and penalties, and of equal ones the lowest id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 is greedy; up to 100.
    pub temperature: f32,
    /// Keep the `top_k` most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the most likely tokens until their probabilities reach `top_p`; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than `min_p` times the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Divide positive and multiply negative logits of tokens seen in the window, prompt included; 1 is off.
    pub repetition_penalty: f32,
    /// Subtract this times the number of times that a token was generated within the window; −2 to 2.
    pub frequency_penalty: f32,
    /// Subtract this from every token generated within the window; −2 to 2.
    pub presence_penalty: f32,
    /// How many tokens back the penalties look.
    pub penalty_window: u32,
    /// Added to the logits of single tokens; −100 to 100.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Same seed, same model, same prompt: same tokens.
    pub seed: u64,
    /// Report the log probability of each chosen token and of this many alternatives.
    pub logprobs: Option<u32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: 64,
            logit_bias: BTreeMap::new(),
            seed: 0,
            logprobs: None,
        }
    }
}

/// A parameter outside its range.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SamplingError {
    /// A number that is too small, too large or not finite.
    #[error("{name} is {value}; give a number from {min} to {max}")]
    OutOfRange {
        /// Name of the parameter.
        name: &'static str,
        /// What was given.
        value: f32,
        /// Smallest allowed value.
        min: f32,
        /// Largest allowed value.
        max: f32,
    },
    /// A count above its limit.
    #[error("{name} is {value}; the limit is {max}")]
    TooMany {
        /// Name of the parameter.
        name: &'static str,
        /// What was given.
        value: usize,
        /// Largest allowed value.
        max: usize,
    },
    /// A bias for a token that the model does not have.
    #[error("logit_bias names token {token}, but the vocabulary has {vocabulary} tokens")]
    UnknownToken {
        /// The token named.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
}

impl Sampling {
    /// Checks every parameter against its range and `vocabulary`, the number of tokens.
    pub fn validate(&self, vocabulary: usize) -> Result<(), SamplingError> {
        in_range("temperature", self.temperature, 0.0, 100.0)?;
        in_range("top_p", self.top_p, 0.0, 1.0)?;
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range("repetition_penalty", self.repetition_penalty, 0.01, 100.0)?;
        in_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        in_range("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        at_most("penalty_window", self.penalty_window as usize, MAX_PENALTY_WINDOW as usize)?;
        at_most("logprobs", self.logprobs.unwrap_or(0) as usize, MAX_TOP_LOGPROBS as usize)?;
        at_most("the number of entries of logit_bias", self.logit_bias.len(), MAX_LOGIT_BIAS)?;
        for (&token, &bias) in &self.logit_bias {
            in_range("logit_bias", bias, -100.0, 100.0)?;
            if token as usize >= vocabulary {
                return Err(SamplingError::UnknownToken { token, vocabulary });
            }
        }
        Ok(())
    }

    /// Whether any step looks at tokens that came before.
    pub(crate) fn has_penalties(&self) -> bool {
        self.penalty_window > 0
            && (self.repetition_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0)
    }
}

fn in_range(name: &'static str, value: f32, min: f32, max: f32) -> Result<(), SamplingError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SamplingError::OutOfRange { name, value, min, max }) }
}

fn at_most(name: &'static str, value: usize, max: usize) -> Result<(), SamplingError> {
    if value <= max { Ok(()) } else { Err(SamplingError::TooMany { name, value, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_outside_its_range_is_named() {
        let check = |change: fn(&mut Sampling), name: &str| {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            let error = sampling.validate(10).expect_err(name).to_string();
            assert!(error.contains(name), "{error} does not name {name}");
        };
        check(|s| s.temperature = -1.0, "temperature");
        check(|s| s.temperature = f32::NAN, "temperature");
        check(|s| s.temperature = f32::INFINITY, "temperature");
        check(|s| s.top_p = 1.5, "top_p");
        check(|s| s.min_p = -0.1, "min_p");
        check(|s| s.repetition_penalty = 0.0, "repetition_penalty");
        check(|s| s.frequency_penalty = 3.0, "frequency_penalty");
        check(|s| s.presence_penalty = -3.0, "presence_penalty");
        check(|s| s.penalty_window = u32::MAX, "penalty_window");
        check(|s| s.logprobs = Some(21), "logprobs");
        check(|s| s.logit_bias = [(3, 101.0)].into(), "logit_bias");
        check(|s| s.logit_bias = [(10, 1.0)].into(), "token 10");
        Sampling::default().validate(10).expect("the default is valid");
    }
}
