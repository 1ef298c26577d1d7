//! `POST /v1/chat/completions` with `stream`: what goes over the line, event by event.

use super::ChatHeader;
use super::collect::{cut_off, not_asked_for};
use super::logprobs::LogprobsBody;
use super::response::{CallBody, UsageBody, finish_reason};
use crate::ApiError;
use crate::frames::{AnswerStream, Frame, done, prefill_comment, stats};
use crate::service_tier::ServiceTier;
use exo_types::{FinishReason, ModelId, StreamChunk, TokenChunk, Usage};
use serde::Serialize;

/// Makes OpenAI's chunks of exo's: role first, reasoning, text, calls, finish reason, usage if asked for, `[DONE]`.
pub struct ChatStream {
    header: ChatHeader,
    include_usage: bool,
    ended: bool,
    /// Calls so far.
    calls: usize,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a ModelId,
    choices: &'a [Choice<'a>],
    /// Absent unless asked for; then null on all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<LogprobsBody>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
}

impl ChatStream {
    /// A stream that has said nothing yet.
    pub fn new(header: ChatHeader, include_usage: bool) -> Self {
        Self { header, include_usage, ended: false, calls: 0, usage: None }
    }

    /// What it cost, once it came to its end.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn token(&mut self, token: &TokenChunk) -> Vec<Frame> {
        let mut frames = Vec::new();
        if !token.reasoning.is_empty() {
            let delta = Delta { reasoning_content: Some(&token.reasoning), ..Delta::default() };
            frames.push(self.delta(delta, None, None));
        }
        let logprobs = LogprobsBody::of(&token.logprobs);
        if !token.text.is_empty() || logprobs.is_some() {
            frames.push(self.delta(Delta { content: Some(&token.text), ..Delta::default() }, logprobs, None));
        }
        for call in &token.tool_calls {
            let tool_calls = vec![CallBody::new(call, Some(self.calls))];
            frames.push(self.delta(Delta { tool_calls, ..Delta::default() }, None, None));
            self.calls += 1;
        }
        if let Some(reason) = token.finish_reason {
            frames.extend(self.finish(reason, token.usage.unwrap_or_default()));
        }
        frames
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) -> Vec<Frame> {
        self.ended = true;
        self.usage = Some(usage);
        let mut frames = vec![self.delta(Delta::default(), None, Some(finish_reason(reason, self.calls > 0)))];
        if self.include_usage {
            frames.push(self.data(&[], Some(Some(usage.into()))));
        }
        frames.extend([stats(usage), done()]);
        frames
    }

    fn delta(&self, delta: Delta<'_>, logprobs: Option<LogprobsBody>, finish_reason: Option<&'static str>) -> Frame {
        let choice = Choice { index: 0, delta, logprobs, finish_reason };
        self.data(&[choice], self.include_usage.then_some(None))
    }

    fn data(&self, choices: &[Choice<'_>], usage: Option<Option<UsageBody>>) -> Frame {
        let header = &self.header;
        let chunk = Chunk {
            id: &header.id,
            object: "chat.completion.chunk",
            created: header.created,
            model: &header.model,
            choices,
            usage,
            service_tier: header.tier,
        };
        Frame::Data(serde_json::to_string(&chunk).expect("texts and numbers always serialise"))
    }
}

impl AnswerStream for ChatStream {
    /// Who speaks.
    fn open(&self) -> Vec<Frame> {
        vec![self.delta(Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, None, None)]
    }

    fn push(&mut self, chunk: &StreamChunk) -> Vec<Frame> {
        if self.ended {
            return Vec::new();
        }
        match chunk {
            StreamChunk::PrefillProgress(progress) => vec![prefill_comment(*progress)],
            StreamChunk::Token(token) => self.token(token),
            StreamChunk::Embedding(_) => self.fail(&not_asked_for()),
            StreamChunk::Error(error) => self.fail(&ApiError::from(error)),
        }
    }

    fn fail(&mut self, error: &ApiError) -> Vec<Frame> {
        if std::mem::replace(&mut self.ended, true) {
            return Vec::new();
        }
        vec![Frame::Data(error.to_json()), done()]
    }

    fn close(&mut self) -> Vec<Frame> {
        self.fail(&ApiError::from(&cut_off()))
    }

    fn is_finished(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests;
