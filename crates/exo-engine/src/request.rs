//! What a caller asks of the engine, and what comes back.

use std::time::Duration;

use exo_grammar::{Grammar, GrammarError};
use exo_text::{Chat, ReplyCall, Sampling, SamplingError, TemplateError, TokenLogprob, TokenizeError, UnixSeconds};
use thiserror::Error;

use crate::embedding::Pooling;

/// What to continue.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Turns of a chat, rendered with the model's template. Their text never becomes control tokens. The reply is
    /// told apart into text, reasoning and calls.
    Chat(Chat),
    /// Plain text, continued as it is; control tokens in it are plain text too.
    Text(String),
    /// Tokens as they are.
    Tokens(Vec<u32>),
}

/// Which tools a reply calls; the tools themselves are part of the chat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// Those that the model likes, or none.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// What a reply may and must be; the default is text as it comes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplyOptions {
    /// Which tools it calls.
    pub tool_choice: ToolChoice,
    /// End it after its first call.
    pub one_call: bool,
    /// What it must match, reasoning aside.
    pub grammar: Option<Grammar>,
    /// A vector of the prompt instead of text: nothing is sampled.
    pub embedding: Option<EmbeddingOptions>,
}

/// How a vector is made of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmbeddingOptions {
    /// How states are pooled; as the model says if nothing is said.
    pub pooling: Option<Pooling>,
}

/// How urgent a request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Nobody waits for it.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// When a request's turn is, where several wait. It never changes an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// How urgent it is.
    pub priority: Priority,
    /// Whose it is: those alike in priority take turns by client. 0 is nobody in particular.
    pub client: u64,
}

/// One request. `id` is the caller's and unique among the requests in flight.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Name of the request in outputs and in `cancel`.
    pub id: u64,
    /// What to continue.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` goes on to the end of the context.
    pub max_tokens: Option<u32>,
    /// Strings that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Go on after the model's end token; for measurements.
    pub ignore_eos: bool,
    /// What the reply may and must be.
    pub reply: ReplyOptions,
    /// Tokens of the answer that another engine generated. The answer goes on behind them, as if this one had: they
    /// count as its tokens and for penalties, stop strings and random numbers, and no output brings them again.
    pub answered: Vec<u32>,
    /// When it was asked, for templates that tell the date; `None` is now.
    pub asked_at: Option<UnixSeconds>,
    /// When its turn is.
    pub turn: Turn,
}

/// A request that was not accepted. Nothing of it stays in the engine.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {prompt_tokens} tokens, but the context holds {context}; shorten the prompt")]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens that the prompt and its answer may have together.
        context: usize,
    },
    /// No tokens at all.
    #[error("the prompt is empty; give at least one token")]
    EmptyPrompt,
    /// A token that the model does not have.
    #[error("the prompt has token {token}, but the vocabulary has {vocabulary} tokens")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// Text is wanted of an encoder.
    #[error("the model is an encoder, which makes vectors of texts and no text; ask it for an embedding")]
    NoText,
    /// A way of pooling that makes no sense for the model.
    #[error("the first token of a decoder sees nothing of the text; ask for the mean or the last")]
    ClsOfDecoder,
    /// An answer of no tokens.
    #[error("max_tokens is 0; ask for at least one token")]
    NoTokens,
    /// An answer that had ended with the tokens that were given.
    #[error("the answer was complete after the {tokens} tokens that it shall go on behind; ask anew")]
    Complete {
        /// Tokens given.
        tokens: usize,
    },
    /// The waiting queue is full, or nearly full and much of it this client's.
    #[error("{waiting} requests are waiting already; try again later")]
    Busy {
        /// Requests in the queue.
        waiting: usize,
    },
    /// The id is in use.
    #[error("request {id} is still running; choose another id")]
    DuplicateId {
        /// The id.
        id: u64,
    },
    /// A sampling parameter outside its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// Stop strings that are too many, too long or empty.
    #[error(transparent)]
    Stop(#[from] exo_text::StopError),
    /// The chat template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The prompt could not be turned into tokens.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// A grammar that is too large, or too many at once.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// A call is wanted of a tool that was not offered.
    #[error("a call of {0} is wanted, but no such tool is offered; add it to the tools")]
    UnknownTool(String),
    /// A call is wanted and a grammar for the text.
    #[error("a call is required and a grammar for the text given; leave one of them out")]
    CallAndGrammar,
}

/// Why a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The model said its end token, or a stop string came.
    Stop,
    /// `max_tokens` or the end of the context.
    Length,
    /// `cancel` was called.
    Cancelled,
    /// The numbers of this request went wrong; the others go on.
    Failed(String),
    /// The request cannot be served as it is, which was found out only now: its grammar.
    Refused(String),
}

/// Tokens of a request so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens generated, an end token included.
    pub completion_tokens: u32,
    /// Those of them that ended in the model's reasoning.
    pub reasoning_tokens: u32,
    /// Tokens of the prompt that were still in the cache from an earlier request.
    pub cached_tokens: u32,
}

/// Where the time of a request went so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From `submit` to the first step that worked on it, and while something urgent had its place.
    pub waiting: Duration,
    /// From there to its first token.
    pub prefill: Duration,
    /// From the first token to the last so far.
    pub decode: Duration,
}

/// How far a request is that has no token to say yet, or that gave way to something urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The request.
    pub id: u64,
    /// Tokens that are read, or were there.
    pub read: u32,
    /// Tokens that have to be.
    pub tokens: u32,
}

/// What one token brought for its request. A step brings several where tokens were guessed right.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The request.
    pub id: u64,
    /// New text: whole characters, never part of a stop string. May be empty while a character or a possible stop
    /// string is incomplete.
    pub text: String,
    /// New reasoning; before `text`.
    pub reasoning: String,
    /// Calls that are whole now.
    pub calls: Vec<ReplyCall>,
    /// New tokens, at most one. Text may lag behind them.
    pub token_ids: Vec<u32>,
    /// One entry for each of `token_ids` where the request asked for them.
    pub logprobs: Vec<TokenLogprob>,
    /// The vector of a text, of length one, where it was asked for: with the only output of such a request.
    pub embedding: Option<Vec<f32>>,
    /// Set on the last output of the request.
    pub finish: Option<Finish>,
    /// Tokens so far.
    pub usage: Usage,
    /// Time so far.
    pub timings: Timings,
}
