//! What clients saw, with times, to be judged afterwards.

use crate::cluster::Answer;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From when to when, counted from the begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it was asked.
    pub from: Duration,
    /// When the answer was complete, or given up.
    pub until: Duration,
}

impl Span {
    /// Whether both have a moment in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.from <= other.until && other.from <= self.until
    }

    /// How long both are together.
    pub fn common(&self, other: &Self) -> Duration {
        self.until.min(other.until).saturating_sub(self.from.max(other.from))
    }
}

/// What was to be changed. Every key is a model that only one writer places and takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Place the key's model.
    Place,
    /// Take this instance of it away.
    Delete {
        /// Which.
        instance: String,
    },
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged: it must be in every later State. Of a placement: under this name.
    Acked {
        /// Name of the instance.
        instance: Option<String>,
    },
    /// It did not happen and will not.
    Refused(String),
    /// It may have happened, or may still.
    Unknown(String),
}

/// A change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Of which model.
    pub key: String,
    /// What.
    pub deed: Deed,
    /// When.
    pub span: Span,
    /// What came of it.
    pub outcome: Outcome,
}

/// A text that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// From which node's API.
    pub api: usize,
    /// When.
    pub span: Span,
    /// What came of it.
    pub answer: Answer,
}

/// An API process was not there, or did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// On which node.
    pub api: usize,
    /// When.
    pub span: Span,
    /// Its connections were cut; else it only stood still.
    pub killed: bool,
}

/// Everything that happened.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// Changes.
    pub writes: Vec<Write>,
    /// Texts.
    pub chats: Vec<Chat>,
    /// APIs that were killed or paused.
    pub outages: Vec<Outage>,
    /// Where two nodes had different States under the same session and index.
    pub disagreements: Vec<String>,
}

/// What clients write their observations into.
pub struct History {
    begin: Instant,
    events: Mutex<Events>,
}

impl History {
    /// Nothing so far.
    pub fn begin() -> Self {
        Self { begin: Instant::now(), events: Mutex::default() }
    }

    /// Time since the begin.
    pub fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Everything so far. A client that panicked has written whole entries.
    pub fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client saw what became of a change that it asked for at `from`.
    pub fn wrote(&self, key: &str, deed: Deed, from: Duration, outcome: Outcome) {
        let span = Span { from, until: self.now() };
        self.events().writes.push(Write { key: key.to_owned(), deed, span, outcome });
    }

    /// A client saw what became of a text that it asked for at `from`.
    pub fn chatted(&self, api: usize, from: Duration, answer: Answer) {
        let span = Span { from, until: self.now() };
        self.events().chats.push(Chat { api, span, answer });
    }

    /// An API was away from `from` until now.
    pub fn was_out(&self, api: usize, from: Duration, killed: bool) {
        let span = Span { from, until: self.now() };
        self.events().outages.push(Outage { api, span, killed });
    }

    /// Changes acknowledged so far.
    pub fn acked(&self) -> usize {
        self.events().writes.iter().filter(|write| matches!(write.outcome, Outcome::Acked { .. })).count()
    }
}
