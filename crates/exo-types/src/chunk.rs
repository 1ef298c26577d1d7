//! Pieces of an answer.

use crate::ToolCall;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why an answer ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model said so, or a stop string came.
    Stop,
    /// The largest number of tokens, or the end of the context.
    Length,
}

/// What a request cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// Tokens of the prompt that were already in the cache.
    #[serde(default)]
    pub cached_tokens: u32,
    /// Tokens of the answer in which the model reasoned.
    #[serde(default)]
    pub reasoning_tokens: u32,
    /// Microseconds until the prompt was read.
    #[serde(default)]
    pub prefill_us: u64,
    /// Microseconds from then until the end.
    #[serde(default)]
    pub decode_us: u64,
}

/// How likely a token was.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenLikelihood {
    /// What it prints; maybe a part of a character. Control tokens as the vocabulary spells them.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// A token that was chosen, and what could have been.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenLogprob {
    /// The token itself.
    pub chosen: TokenLikelihood,
    /// The likeliest, the likeliest first, as many as were asked for.
    pub top: Vec<TokenLikelihood>,
}

/// Hides the text: answers are never logged.
impl fmt::Debug for TokenLogprob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenLogprob({}, {} others)", self.chosen.logprob, self.top.len())
    }
}

/// A piece of an answer. `Debug` hides the text: answers are never logged.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenChunk {
    /// Whole characters; may be empty when a token ends inside one.
    pub text: String,
    /// The tokens that it came from.
    pub token_ids: Vec<u32>,
    /// What the model says to itself; before `text`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Calls that are whole now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// One for each of `token_ids` but end tokens, where the request asked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
    /// Set on the last chunk.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
    /// Set on the last chunk.
    #[serde(default)]
    pub usage: Option<Usage>,
}

impl fmt::Debug for TokenChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenChunk({} tokens, {} bytes, {:?})", self.token_ids.len(), self.text.len(), self.finish_reason)
    }
}

/// How far the prompt is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrefillProgressChunk {
    /// Tokens read.
    pub processed_tokens: u32,
    /// Tokens of the prompt.
    pub total_tokens: u32,
}

/// Why an answer ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request cannot be served as it is: too long, out of range.
    InvalidRequest,
    /// The prompt and the context do not fit.
    ContextLengthExceeded,
    /// No runner of that instance on this node takes requests now.
    NotReady,
    /// The runner crashed while it answered.
    RunnerLost,
    /// The runner made no progress within its deadline and was replaced.
    RunnerHung,
    /// A rank of the pipeline went away while it answered.
    PeerLost,
    /// The request's deadline passed.
    DeadlineExceeded,
    /// Too many requests wait.
    Overloaded,
    /// The node is being stopped.
    ShuttingDown,
    /// A defect; the details are in the node's log.
    Internal,
}

impl ErrorCode {
    /// The stable name that clients see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::NotReady => "not_ready",
            Self::RunnerLost => "runner_lost",
            Self::RunnerHung => "runner_hung",
            Self::PeerLost => "peer_lost",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Overloaded => "overloaded",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

/// The end of an answer that did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct ErrorChunk {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what happened, and what to do.
    pub message: String,
}

/// The vector of a text. `Debug` hides it: much of the text can be told from it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddingChunk {
    /// Of length one.
    pub values: Vec<f32>,
    /// What it cost.
    pub usage: Usage,
}

impl fmt::Debug for EmbeddingChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddingChunk({} numbers)", self.values.len())
    }
}

/// What travels on a stream of an answer. Ends with a `Token` that has a finish reason, with an `Embedding`, or with an
/// `Error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StreamChunk {
    /// How far the prompt is read.
    PrefillProgress(PrefillProgressChunk),
    /// Some text.
    Token(TokenChunk),
    /// The vector of the prompt, which is all of the answer.
    Embedding(EmbeddingChunk),
    /// The end.
    Error(ErrorChunk),
}
