//! Answers on their way: server-sent events, whatever the API.

use crate::ApiError;
use crate::chat::GenerationStats;
use exo_types::{PrefillProgressChunk, StreamChunk, Usage};
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

/// Makes an API's events of exo's pieces. An error ends the events with an envelope and `[DONE]`; nothing comes after
/// the end.
pub trait AnswerStream {
    /// What comes before the first piece.
    fn open(&self) -> Vec<Frame>;
    /// The events for the next piece.
    fn push(&mut self, chunk: &StreamChunk) -> Vec<Frame>;
    /// The events for a failure.
    fn fail(&mut self, error: &ApiError) -> Vec<Frame>;
    /// The events for pieces that stop coming: none after a proper end, an error otherwise.
    fn close(&mut self) -> Vec<Frame>;
    /// Whether nothing more will come.
    fn is_finished(&self) -> bool;
}

pub(crate) fn done() -> Frame {
    Frame::Data("[DONE]".to_owned())
}

/// Speeds, for those who look at comments.
pub(crate) fn stats(usage: Usage) -> Frame {
    let stats = serde_json::to_string(&GenerationStats::from(usage)).expect("numbers always serialise");
    Frame::Comment(format!("generation_stats {stats}"))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PrefillComment {
    prefill_progress_chunk: PrefillProgressChunk,
}

pub(crate) fn prefill_comment(prefill_progress_chunk: PrefillProgressChunk) -> Frame {
    let json = serde_json::to_string(&PrefillComment { prefill_progress_chunk }).expect("numbers always serialise");
    Frame::Comment(format!("prefill_progress {json}"))
}
