//! Puts the pieces of an answer together.

use super::{ChatCompletion, ChatHeader};
use crate::ApiError;
use exo_types::{ErrorChunk, ErrorCode, FinishReason, StreamChunk, TokenLogprob, ToolCall, Usage};

/// An answer that grows until it is whole.
#[derive(Default)]
pub struct Answer {
    pub(crate) content: String,
    pub(crate) reasoning: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) logprobs: Vec<TokenLogprob>,
    end: Option<(FinishReason, Usage)>,
}

impl Answer {
    /// Takes the next piece; an error ends the answer.
    pub fn push(&mut self, chunk: StreamChunk) -> Result<(), ApiError> {
        match chunk {
            StreamChunk::PrefillProgress(_) => Ok(()),
            StreamChunk::Token(token) => {
                self.content.push_str(&token.text);
                self.reasoning.push_str(&token.reasoning);
                self.tool_calls.extend(token.tool_calls);
                self.logprobs.extend(token.logprobs);
                if let Some(reason) = token.finish_reason {
                    self.end = Some((reason, token.usage.unwrap_or_default()));
                }
                Ok(())
            }
            StreamChunk::Embedding(_) => Err(not_asked_for()),
            StreamChunk::Error(error) => Err(ApiError::from(&error)),
        }
    }

    /// Whether nothing more will come.
    pub fn is_finished(&self) -> bool {
        self.end.is_some()
    }

    /// The body, as JSON. An answer without an end is an error: half an answer must not look like a whole one.
    pub fn finish(&self, header: &ChatHeader) -> Result<String, ApiError> {
        let (reason, usage) = self.end()?;
        Ok(ChatCompletion::new(header, self, reason, usage).to_json())
    }

    /// Why it ended and what it cost; an error if it did not end.
    pub(crate) fn end(&self) -> Result<(FinishReason, Usage), ApiError> {
        self.end.ok_or_else(|| ApiError::from(&cut_off()))
    }

    /// What it cost, once it is whole.
    pub fn usage(&self) -> Option<Usage> {
        self.end.map(|(_, usage)| usage)
    }
}

/// A stream that ended without saying why.
pub(crate) fn cut_off() -> ErrorChunk {
    let message = "the connection to the node that answered was lost; send the request again".to_owned();
    ErrorChunk { code: ErrorCode::PeerLost, message }
}

/// A vector where text was asked for: a defect of the node that answered.
pub(crate) fn not_asked_for() -> ApiError {
    ApiError::new(500, "internal", "the node that answered gave a vector instead of text; try again")
}
