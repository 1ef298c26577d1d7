//! Where nodes ask to be let in: links hand the questions over, the master's part answers.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Questions that wait; a cluster does not grow faster.
const WAITING: usize = 16;
/// A question is an append to the log of the cluster.
const ANSWER: Duration = Duration::from_secs(8);

/// A question, and the way to answer it. Dropped unanswered, the asker is told to come again.
pub struct Visit {
    /// An [`AdmissionRequest`](crate::AdmissionRequest) in bytes, of whoever connected: unchecked.
    pub request: Vec<u8>,
    answer: oneshot::Sender<Vec<u8>>,
}

impl Visit {
    /// Answers.
    pub fn answer(self, reply: Vec<u8>) {
        // Whoever asked may be gone; it asks again.
        let _gone = self.answer.send(reply);
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({} bytes)", self.request.len())
    }
}

/// Why nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// This process has no master.
    Unmanned,
    /// It has, and is too busy.
    Busy,
}

/// The desk of one process.
#[derive(Debug, Default)]
pub struct Desk {
    clerk: Mutex<Option<mpsc::Sender<Visit>>>,
}

impl Desk {
    /// Sits down at it; the one who sat there before gets nothing more.
    pub fn open(&self) -> mpsc::Receiver<Visit> {
        let (sender, visits) = mpsc::channel(WAITING);
        *self.clerk.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        visits
    }

    /// Whether somebody sits there.
    pub fn is_manned(&self) -> bool {
        self.clerk().is_some()
    }

    /// Asks. Ends within seconds.
    pub async fn ask(&self, request: Vec<u8>) -> Result<Vec<u8>, NoAnswer> {
        let clerk = self.clerk().ok_or(NoAnswer::Unmanned)?;
        let (answer, answered) = oneshot::channel();
        clerk.try_send(Visit { request, answer }).map_err(|_| NoAnswer::Busy)?;
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Busy),
        }
    }

    fn clerk(&self) -> Option<mpsc::Sender<Visit>> {
        let clerk = self.clerk.lock().unwrap_or_else(PoisonError::into_inner);
        clerk.as_ref().filter(|clerk| !clerk.is_closed()).cloned()
    }
}
