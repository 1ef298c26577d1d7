//! Applied events, for those who want each of them.

use exo_types::{EventIndex, IndexedEvent};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Groups that a subscriber may be behind.
const BEHIND: usize = 1024;

/// What was applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Feed {
    /// These events, which follow the ones before.
    Events(Arc<Vec<IndexedEvent>>),
    /// Events came as a State: go on from there with the State of that index or a later one.
    Jumped {
        /// The last event that is in it.
        to: EventIndex,
    },
}

/// Why there is no next one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// It fell behind, and some were dropped: read them, and go on.
    #[error("{missed} groups of events were dropped because they were not taken in time; read them from the log")]
    Lagged {
        /// How many groups.
        missed: u64,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// What is applied from now on, in order.
#[derive(Debug)]
pub struct Subscription(Option<broadcast::Receiver<Feed>>);

impl Subscription {
    /// Waits for the next. May be dropped and called again; nothing is lost by that.
    pub async fn next(&mut self) -> Result<Feed, SubscriptionError> {
        let Some(receiver) = &mut self.0 else { return Err(SubscriptionError::Closed) };
        receiver.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(missed) => SubscriptionError::Lagged { missed },
            broadcast::error::RecvError::Closed => SubscriptionError::Closed,
        })
    }
}

/// Everybody who subscribed.
#[derive(Debug)]
pub(crate) struct Feeds(Mutex<Option<broadcast::Sender<Feed>>>);

impl Default for Feeds {
    fn default() -> Self {
        Self(Mutex::new(Some(broadcast::Sender::new(BEHIND))))
    }
}

impl Feeds {
    pub(crate) fn subscribe(&self) -> Subscription {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Subscription(sender.as_ref().map(broadcast::Sender::subscribe))
    }

    pub(crate) fn send(&self, feed: &Feed) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender
            && sender.receiver_count() > 0
        {
            drop(sender.send(feed.clone()));
        }
    }

    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
