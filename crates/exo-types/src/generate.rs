//! Requests for text.

use crate::{InstanceId, ReplyOptions, RequestId, ToolCall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Who says something in a dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the frame.
    System,
    /// Asks.
    User,
    /// Answers.
    Assistant,
    /// Reports what a tool did.
    Tool,
}

impl Role {
    /// As templates name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a dialogue. `Debug` hides the text: prompts are never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage {
    /// Who.
    pub role: Role,
    /// What.
    pub content: String,
    /// What the assistant said to itself before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Which tools the assistant called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Name of the tool that answers, or of the speaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl ChatMessage {
    /// A turn that is nothing but text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let content = content.into();
        Self { role, content, reasoning: None, tool_calls: Vec::new(), tool_call_id: None, name: None }
    }
}

impl fmt::Debug for ChatMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatMessage({}, {} bytes)", self.role.as_str(), self.content.len())
    }
}

/// What to continue. `Debug` hides the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// A dialogue; the model's template makes text of it.
    Chat(Vec<ChatMessage>),
    /// Text as it is.
    Text(String),
    /// Tokens as they are.
    Tokens(Vec<u32>),
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chat(messages) => write!(f, "Chat({} messages)", messages.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Tokens(tokens) => write!(f, "Tokens({})", tokens.len()),
        }
    }
}

/// How the next token is chosen. Ranges are checked where a request comes in and again by the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SamplingParams {
    /// 0 is greedy; at most 2.
    pub temperature: f32,
    /// Keep the k likeliest; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest up to this share; 1 keeps all.
    pub top_p: f32,
    /// Keep those at least this fraction as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides the logits of what was said; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted per time that it was said.
    pub frequency_penalty: f32,
    /// Subtracted once if it was said.
    pub presence_penalty: f32,
    /// How many tokens back the penalties look; 0 looks at all.
    pub penalty_window: u32,
    /// Added to the logits of tokens.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Start of the random numbers; the request's own hash if none is given.
    pub seed: Option<u64>,
    /// Tell the log probability of each token, and of so many of the likeliest beside it; at most 20.
    pub logprobs: Option<u32>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.05,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: 64,
            logit_bias: BTreeMap::new(),
            seed: None,
            logprobs: None,
        }
    }
}

/// A request for text, on the stream from an api to the worker of rank 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateRequest {
    /// Its name in logs.
    pub request_id: RequestId,
    /// Which placed model.
    pub instance_id: InstanceId,
    /// What to continue.
    pub prompt: Prompt,
    /// How to choose.
    #[serde(default)]
    pub sampling: SamplingParams,
    /// At most so many tokens; what the context leaves if none is given.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Stop before any of these.
    #[serde(default)]
    pub stop: Vec<String>,
    /// What the reply may and must be.
    #[serde(default)]
    pub reply: Box<ReplyOptions>,
    /// Milliseconds from the start until the request ends, answered or not.
    pub deadline_ms: u64,
    /// Tokens of the answer that the client has already, from a runner that was lost: the answer goes on behind them as
    /// if nothing had happened.
    #[serde(default, skip_serializing_if = "AnsweredTokens::is_empty")]
    pub answered: AnsweredTokens,
    /// When it was asked, in seconds since 1970: what a template says of the date is the same when the answer goes on.
    /// Now if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<u64>,
    /// When its turn is, where several wait.
    #[serde(default, skip_serializing_if = "Turn::is_usual")]
    pub turn: Turn,
}

/// When a request's turn is, where several wait. It never changes an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Turn {
    /// How urgent it is.
    pub priority: Priority,
    /// Whose it is, as a number that tells nothing else of them: those alike in priority take turns by client.
    pub client: u64,
}

impl Turn {
    /// Whether there is nothing to say.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// How urgent a request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Priority {
    /// Nobody waits for it.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// Tokens that were generated. `Debug` hides them: answers are never logged.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnsweredTokens(pub Vec<u32>);

impl AnsweredTokens {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for AnsweredTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}
