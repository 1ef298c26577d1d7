//! How likely the tokens of an answer were, in OpenAI's words.

use exo_types::{TokenLikelihood, TokenLogprob};
use serde::Serialize;

/// `{"content": […]}`.
#[derive(Serialize)]
pub(super) struct LogprobsBody {
    content: Vec<Entry>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    chosen: Likelihood,
    top_logprobs: Vec<Likelihood>,
}

#[derive(Serialize)]
struct Likelihood {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl LogprobsBody {
    /// None where nothing was asked for.
    pub(super) fn of(tokens: &[TokenLogprob]) -> Option<Self> {
        let content: Vec<Entry> = tokens.iter().map(entry).collect();
        (!content.is_empty()).then_some(Self { content, refusal: None })
    }
}

fn entry(token: &TokenLogprob) -> Entry {
    Entry { chosen: likelihood(&token.chosen), top_logprobs: token.top.iter().map(likelihood).collect() }
}

/// A token may be a part of a character only: then its text is a replacement, and its bytes say what it is.
fn likelihood(of: &TokenLikelihood) -> Likelihood {
    let token = String::from_utf8_lossy(&of.bytes).into_owned();
    Likelihood { token, logprob: of.logprob, bytes: of.bytes.clone() }
}
