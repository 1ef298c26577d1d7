//! What was refused of messages, counted by reason.

use crate::envelope::EnvelopeError;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// A reader that cannot keep up, or is kept from it on purpose.
pub(crate) const FLOOD: &str = "flood";

/// Something else than what belongs there.
pub(crate) const GARBAGE: &str = "garbage";

/// Of a version that this process does not read.
pub(crate) const OTHER_VERSION: &str = "other_version";

/// Said before, and put again.
pub(crate) const REPLAYED: &str = "replayed";

/// Of a session that is not followed: an old one, or one that lost.
pub(crate) const OTHER_SESSION: &str = "other_session";

/// Somebody speaks for somebody else.
pub(crate) const FOREIGN_ID: &str = "foreign_id";

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    changed: watch::Sender<()>,
}

impl Refusals {
    pub fn count(&self, reason: &'static str) {
        self.add(reason, 1);
    }

    /// So many more of it.
    pub fn add(&self, reason: &'static str, more: u64) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += more;
        self.changed.send_replace(());
    }

    /// Wakes with every count.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What cannot be read.
    pub fn count_error(&self, error: &EnvelopeError) {
        self.count(error.word());
    }

    /// Adds them to others.
    pub fn add_to(&self, counts: &mut BTreeMap<String, u64>) {
        for (reason, count) in self.counts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            *counts.entry((*reason).to_owned()).or_default() += count;
        }
    }
}
