//! One link's questions: those that wait for an answer, those of the peer, and the way out.

use super::{Asked, Calls, Message, message};
use crate::envelope::Envelope;
use crate::names::ProcessId;
use crate::transport::{CallError, Reply};
use crate::zenoh::seal::SealError;
use bytes::Bytes;
use exo_types::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What waits to leave by a link: who asks waits while it is full.
const OUTGOING: usize = 1024;

/// What this process has with one other.
pub(super) struct Desk {
    process: ProcessId,
    node: NodeId,
    outgoing: mpsc::Sender<Message>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    asked: u64,
    /// None as the answer: the question was not taken.
    answers: HashMap<u64, oneshot::Sender<Option<Bytes>>>,
    ended: bool,
}

/// The link's end of it: takes what comes. Dropped with the link.
pub(in super::super) struct Clerk {
    calls: Arc<Calls>,
    desk: Arc<Desk>,
}

/// Both ends, and what is to leave by the link.
pub(super) fn open(calls: Arc<Calls>, process: ProcessId, node: NodeId) -> (Arc<Desk>, Clerk, mpsc::Receiver<Message>) {
    let (outgoing, leaves) = mpsc::channel(OUTGOING);
    let desk = Arc::new(Desk { process, node, outgoing, waiting: Mutex::default() });
    (desk.clone(), Clerk { calls, desk }, leaves)
}

impl Desk {
    pub fn process(&self) -> ProcessId {
        self.process
    }

    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Asks the peer; the caller sets the deadline.
    pub async fn ask(&self, key: &str, bytes: Bytes) -> Asked {
        let Some((question, answer)) = self.question().filter(|_| message::fits(key)) else { return Asked::Unknown };
        let asked = Message::Question { number: question.number, key: key.to_owned(), bytes };
        if self.outgoing.send(asked).await.is_err() {
            return Asked::Unknown;
        }
        match answer.await {
            Ok(Some(bytes)) => Asked::Answered(bytes),
            Ok(None) => Asked::Unknown,
            // The link ended meanwhile.
            Err(_) => Asked::Failed(CallError::Nobody),
        }
    }

    /// A number for a question, and its answer; none if the link has ended.
    fn question(&self) -> Option<(Question<'_>, oneshot::Receiver<Option<Bytes>>)> {
        let mut waiting = self.waiting();
        if waiting.ended {
            return None;
        }
        let (sender, answer) = oneshot::channel();
        waiting.asked += 1;
        let number = waiting.asked;
        waiting.answers.insert(number, sender);
        Some((Question { desk: self, number }, answer))
    }

    fn on_answer(&self, number: u64, answer: Option<Bytes>) {
        let sender = self.waiting().answers.remove(&number);
        // Nobody waits for one that came too late.
        if let Some(sender) = sender {
            let _gave_up = sender.send(answer);
        }
    }

    /// Never waits. A peer that does not take its answers loses those that are too many.
    fn post(&self, message: Message) {
        if let Err(error) = self.outgoing.try_send(message) {
            tracing::debug!(process = %self.process, %error, "an answer did not leave");
        }
    }

    /// Whether the link's peer wrote that.
    fn check(&self, bytes: &Bytes) -> Result<(), SealError> {
        let header = Envelope::parse(bytes.clone())?.header;
        match header.process == self.process && header.from == self.node {
            true => Ok(()),
            false => Err(SealError::OtherNode { process: header.process, claimed: header.from }),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that waits; forgotten when it is dropped.
struct Question<'a> {
    desk: &'a Desk,
    number: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.desk.waiting().answers.remove(&self.number);
    }
}

/// A question of the peer. Dropped without an answer, the peer is told that nobody took it.
struct Asker {
    desk: Arc<Desk>,
    number: u64,
    is_answered: bool,
}

impl Asker {
    fn answer(mut self, bytes: Bytes) {
        self.is_answered = true;
        self.desk.post(Message::Answer { number: self.number, bytes });
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if !self.is_answered {
            self.desk.post(Message::Nobody { number: self.number });
        }
    }
}

impl Clerk {
    /// Something came by the link. What names somebody else is an error, and not taken.
    pub fn on_message(&self, message: Message) -> Result<(), SealError> {
        match message {
            Message::Question { number, key, bytes } => {
                self.desk.check(&bytes)?;
                let asker = Asker { desk: self.desk.clone(), number, is_answered: false };
                if let Some(answer) = self.calls.answerer(&key) {
                    answer(bytes, Reply::new(|bytes| asker.answer(bytes)));
                }
            }
            Message::Answer { number, bytes } => {
                self.desk.check(&bytes)?;
                self.desk.on_answer(number, Some(bytes));
            }
            Message::Nobody { number } => self.desk.on_answer(number, None),
        }
        Ok(())
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.calls.close(&self.desk);
        let mut waiting = self.desk.waiting();
        waiting.ended = true;
        waiting.answers.clear();
    }
}
