//! `POST /v1/chat/completions` with `stream`: what goes over the line, event by event.

use super::ChatHeader;
use super::collect::cut_off;
use super::response::{GenerationStats, UsageBody, finish_reason};
use crate::ApiError;
use exo_types::{FinishReason, ModelId, PrefillProgressChunk, StreamChunk, TokenChunk, Usage};
use serde::Serialize;

/// One server-sent event.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// `data: …`.
    Data(String),
    /// `: …`; clients skip it.
    Comment(String),
}

/// Hides the text: answers are never logged.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(text) => write!(f, "Data({} bytes)", text.len()),
            Self::Comment(text) => write!(f, "Comment({} bytes)", text.len()),
        }
    }
}

/// Makes OpenAI's chunks of exo's: role first, text, finish reason, usage if asked for, `[DONE]`.
/// An error ends the stream with OpenAI's envelope and `[DONE]`; nothing comes after the end.
pub struct ChatStream {
    header: ChatHeader,
    include_usage: bool,
    ended: bool,
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
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PrefillComment {
    prefill_progress_chunk: PrefillProgressChunk,
}

impl ChatStream {
    /// A stream that has said nothing yet.
    pub fn new(header: ChatHeader, include_usage: bool) -> Self {
        Self { header, include_usage, ended: false, usage: None }
    }

    /// The first event: who speaks.
    pub fn open(&self) -> Frame {
        self.delta(Delta { role: Some("assistant"), content: Some("") }, None)
    }

    /// The events for the next piece.
    pub fn push(&mut self, chunk: &StreamChunk) -> Vec<Frame> {
        if self.ended {
            return Vec::new();
        }
        match chunk {
            StreamChunk::PrefillProgress(progress) => vec![prefill_comment(*progress)],
            StreamChunk::Token(token) => self.token(token),
            StreamChunk::Error(error) => self.fail(&ApiError::from(error)),
        }
    }

    /// The events for a failure.
    pub fn fail(&mut self, error: &ApiError) -> Vec<Frame> {
        if std::mem::replace(&mut self.ended, true) {
            return Vec::new();
        }
        vec![Frame::Data(error.to_json()), done()]
    }

    /// The events for pieces that stop coming: none after a proper end, an error otherwise.
    pub fn close(&mut self) -> Vec<Frame> {
        self.fail(&ApiError::from(&cut_off()))
    }

    /// Whether nothing more will come.
    pub fn is_finished(&self) -> bool {
        self.ended
    }

    /// What it cost, once it came to its end.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn token(&mut self, token: &TokenChunk) -> Vec<Frame> {
        let mut frames = Vec::new();
        if !token.text.is_empty() {
            frames.push(self.delta(Delta { role: None, content: Some(&token.text) }, None));
        }
        if let Some(reason) = token.finish_reason {
            frames.extend(self.finish(reason, token.usage.unwrap_or_default()));
        }
        frames
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) -> Vec<Frame> {
        self.ended = true;
        self.usage = Some(usage);
        let mut frames = vec![self.delta(Delta::default(), Some(finish_reason(reason)))];
        if self.include_usage {
            frames.push(self.data(&[], Some(Some(usage.into()))));
        }
        let stats = serde_json::to_string(&GenerationStats::from(usage)).expect("numbers always serialise");
        frames.push(Frame::Comment(format!("generation_stats {stats}")));
        frames.push(done());
        frames
    }

    fn delta(&self, delta: Delta<'_>, finish_reason: Option<&'static str>) -> Frame {
        let choice = Choice { index: 0, delta, logprobs: None, finish_reason };
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
        };
        Frame::Data(serde_json::to_string(&chunk).expect("texts and numbers always serialise"))
    }
}

fn done() -> Frame {
    Frame::Data("[DONE]".to_owned())
}

fn prefill_comment(prefill_progress_chunk: PrefillProgressChunk) -> Frame {
    let json = serde_json::to_string(&PrefillComment { prefill_progress_chunk }).expect("numbers always serialise");
    Frame::Comment(format!("prefill_progress {json}"))
}

#[cfg(test)]
mod tests;
