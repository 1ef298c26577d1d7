//! How surprised a model over several ranks is by text that it was not trained on.

use crate::bench::runners::Chain;
use crate::guide_model::perplexity::conversations;
use crate::own_engine::OwnEngine;
use crate::places::Places;
use anyhow::{Context, Result, bail, ensure};
use exo_text::{ControlTokens, Tokenizer};
use exo_types::{Prompt, SamplingParams};
use std::path::Path;

/// Longest conversation, in tokens.
const LONGEST: u32 = 512;

/// Added to the token that comes next, so that it is chosen; its likelihood is told as it was before.
const FORCE: f32 = 100.0;

/// A text, cut into what is predicted.
pub struct HeldOut {
    predictions: Vec<Prediction>,
}

/// A token of a conversation, and all that stands before it.
struct Prediction {
    before: Vec<u32>,
    token: u32,
}

impl HeldOut {
    /// The conversations that exo-guide was not trained on, in a model's tokens.
    pub fn read(places: &Places, model: &Path) -> Result<Self> {
        let mut own = OwnEngine::load(model, 1, LONGEST)?;
        let tokenizer = own.engine().tokenizer();
        let mut predictions = Vec::new();
        for conversation in conversations(&places.held_out_text())? {
            predictions.extend(predictions_of(tokenizer, &conversation)?);
        }
        ensure!(!predictions.is_empty(), "nothing of the text can be predicted");
        Ok(Self { predictions })
    }

    /// Tokens that are predicted.
    pub fn len(&self) -> usize {
        self.predictions.len()
    }

    /// Perplexity of the text: each token is asked for, and the first rank tells how likely it was.
    pub async fn perplexity(&self, chain: &mut Chain, told: impl Fn()) -> Result<f64> {
        let mut loss = 0.0;
        for (number, prediction) in self.predictions.iter().enumerate() {
            let place = || format!("token {number} of the held-out text");
            loss -= prediction.logprob(chain).await.with_context(place)?;
            told();
        }
        Ok((loss / self.predictions.len() as f64).exp())
    }
}

/// Every token but the first, and but those that end an answer: of these no runner tells how likely they were.
fn predictions_of(tokenizer: &Tokenizer, text: &str) -> Result<Vec<Prediction>> {
    let tokens = tokenizer.encode_prompt(text, ControlTokens::Parse)?;
    ensure!(tokens.len() < LONGEST as usize, "a conversation of {} tokens is too long", tokens.len());
    let places = (1..tokens.len()).filter(|place| !tokenizer.is_end(tokens[*place]));
    Ok(places.map(|place| Prediction { before: tokens[..place].to_vec(), token: tokens[place] }).collect())
}

impl Prediction {
    async fn logprob(&self, chain: &mut Chain) -> Result<f64> {
        let told = chain.tell(Prompt::Tokens(self.before.clone()), self.sampling(), 1).await?;
        match (told.tokens.as_slice(), told.logprobs.as_slice()) {
            ([token], [logprob]) if *token == self.token => Ok(f64::from(*logprob)),
            _ => bail!("token {} was asked for, and {told:?} came", self.token),
        }
    }

    fn sampling(&self) -> SamplingParams {
        let logit_bias = [(self.token, FORCE)].into();
        SamplingParams { temperature: 0.0, logprobs: Some(0), logit_bias, ..SamplingParams::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_predicted_but_the_first_and_the_ends() {
        let places = Places::find().expect("cargo knows the workspace");
        let mut own = OwnEngine::load(&places.guide_model(), 1, LONGEST).expect("the model loads");
        let tokenizer = own.engine().tokenizer();
        let text = "<|im_start|>user\nWhat is exo?<|im_end|>\n<|im_start|>assistant\n";
        let tokens = tokenizer.encode_prompt(text, ControlTokens::Parse).expect("it is text");
        let predictions = predictions_of(tokenizer, text).expect("it is short");
        let predicted: Vec<u32> = predictions.iter().map(|prediction| prediction.token).collect();
        let end = tokens.iter().position(|token| tokenizer.is_end(*token)).expect("the question ends");
        assert_eq!(predicted, [&tokens[1..end], &tokens[end + 1..]].concat());
        let last = predictions.last().expect("there are some");
        assert_eq!(last.before, tokens[..tokens.len() - 1]);
    }
}
