//! `POST /v1/chat/completions`: the answer at once, and what both ways of answering share.

use super::Answer;
use super::logprobs::LogprobsBody;
use crate::service_tier::ServiceTier;
use exo_types::{FinishReason, ModelId, ToolCall, Usage};
use serde::Serialize;

/// What every part of one answer repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatHeader {
    /// `chatcmpl-…`.
    pub id: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// As asked for.
    pub model: ModelId,
    /// As asked for; not told where nothing was.
    pub tier: Option<ServiceTier>,
}

/// OpenAI's account of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UsageBody {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u32,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached_tokens },
            completion_tokens_details: CompletionDetails { reasoning_tokens: usage.reasoning_tokens },
        }
    }
}

/// Speeds of one answer, in EXO's words; a comment at the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GenerationStats {
    prompt_tps: f64,
    generation_tps: f64,
    prompt_tokens: u32,
    generation_tokens: u32,
}

impl From<Usage> for GenerationStats {
    fn from(usage: Usage) -> Self {
        let per_second = |tokens: u32, micros: u64| match micros {
            0 => 0.0,
            // Rounded to a thousandth: more digits are noise.
            _ => (f64::from(tokens) * 1e9 / micros as f64).round() / 1e3,
        };
        Self {
            prompt_tps: per_second(usage.prompt_tokens.saturating_sub(usage.cached_tokens), usage.prefill_us),
            generation_tps: per_second(usage.completion_tokens, usage.decode_us),
            prompt_tokens: usage.prompt_tokens,
            generation_tokens: usage.completion_tokens,
        }
    }
}

/// OpenAI's word for why an answer ended.
pub(crate) fn finish_reason(reason: FinishReason, has_called: bool) -> &'static str {
    match reason {
        FinishReason::Stop if has_called => "tool_calls",
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

/// A whole answer.
#[derive(Serialize)]
pub struct ChatCompletion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a ModelId,
    choices: [Choice<'a>; 1],
    usage: UsageBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<LogprobsBody>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// Null where there are calls and nothing else.
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
    refusal: Option<()>,
}

/// A call, in OpenAI's words. In a stream it has its place among the calls of the answer.
#[derive(Serialize)]
pub(super) struct CallBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionBody<'a>,
}

#[derive(Serialize)]
struct FunctionBody<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> CallBody<'a> {
    pub(super) fn new(call: &'a ToolCall, index: Option<usize>) -> Self {
        let function = FunctionBody { name: &call.name, arguments: &call.arguments };
        Self { index, id: &call.id, kind: "function", function }
    }
}

/// Hides the text: answers are never logged.
impl std::fmt::Debug for ChatCompletion<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChatCompletion({})", self.id)
    }
}

impl<'a> ChatCompletion<'a> {
    /// Puts it together.
    pub fn new(header: &'a ChatHeader, answer: &'a Answer, reason: FinishReason, usage: Usage) -> Self {
        let has_called = !answer.tool_calls.is_empty();
        let message = Message {
            role: "assistant",
            content: (!has_called || !answer.content.is_empty()).then_some(&answer.content),
            reasoning_content: &answer.reasoning,
            tool_calls: answer.tool_calls.iter().map(|call| CallBody::new(call, None)).collect(),
            refusal: None,
        };
        let logprobs = LogprobsBody::of(&answer.logprobs);
        let choice = Choice { index: 0, message, logprobs, finish_reason: finish_reason(reason, has_called) };
        Self {
            id: &header.id,
            object: "chat.completion",
            created: header.created,
            model: &header.model,
            choices: [choice],
            usage: usage.into(),
            service_tier: header.tier,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers always serialise")
    }
}
