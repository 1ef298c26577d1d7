//! The receiving end of a topic.

use crate::bus::Shared;
use crate::envelope::{Envelope, Header, Kind};
use crate::error::{BusError, RecvError};
use crate::keys;
use crate::mailbox::{Mailbox, Popped};
use crate::names::{Message, ProcessId, Topic};
use crate::refusals::{FLOOD, GARBAGE, REPLAYED};
use crate::transport::Registration;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages that wait for a slow reader, at most.
const MESSAGES: usize = 8192;
/// Bytes of them, at most.
const BYTES: usize = 64 << 20;
/// Publishers remembered; beyond that the memory starts anew and gaps in that instant go unseen.
const PUBLISHERS: usize = 4096;

/// What comes on a topic, in order for each publisher.
pub struct Subscription<M> {
    topic: Topic<M>,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox<Bytes>>,
    /// Last number seen of each publisher.
    seen: BTreeMap<ProcessId, u64>,
    /// A message that came behind a gap: the gap is told first.
    behind_gap: Option<Envelope>,
    _registration: Registration,
}

impl<M: Message> Subscription<M> {
    pub(crate) async fn open(shared: Arc<Shared>, topic: Topic<M>) -> Result<Self, BusError> {
        let mailbox = Arc::new(Mailbox::new(MESSAGES, BYTES));
        let (incoming, refusals) = (mailbox.clone(), shared.refusals.clone());
        let deliver = Arc::new(move |bytes: Bytes| {
            let size = bytes.len();
            if !incoming.push_or_count(bytes, size) {
                refusals.count(FLOOD);
            }
        });
        let registration = shared.transport.subscribe(&keys::topic(topic.name()), deliver).await?;
        Ok(Self { topic, shared, mailbox, seen: BTreeMap::new(), behind_gap: None, _registration: registration })
    }

    /// The next message, or what is known of those lost. Cancelling the wait loses nothing.
    pub async fn recv(&mut self) -> Result<M, RecvError> {
        if let Some(envelope) = self.behind_gap.take() {
            return self.decode(&envelope);
        }
        loop {
            let popped = tokio::select! {
                biased;
                () = self.shared.closed.cancelled() => return Err(RecvError::Closed),
                popped = self.mailbox.pop() => popped,
            };
            match popped {
                Popped::Lost(count) => {
                    // Counted here; the numbers behind the loss would count it again.
                    self.seen.clear();
                    return Err(RecvError::Lagged(count));
                }
                Popped::Item(bytes) => {
                    if let Some(result) = self.on_bytes(bytes) {
                        return result;
                    }
                }
            }
        }
    }

    fn on_bytes(&mut self, bytes: Bytes) -> Option<Result<M, RecvError>> {
        let envelope = match Envelope::parse(bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.shared.refusals.count_error(&error);
                return Some(Err(self.undecodable("unknown".to_owned(), &error)));
            }
        };
        if envelope.header.kind != Kind::Message {
            self.shared.refusals.count(GARBAGE);
            let reason = format!("a message was expected, {:?} came", envelope.header.kind);
            return Some(Err(self.undecodable(envelope.header.from.to_string(), &reason)));
        }
        match self.missing_before(&envelope.header) {
            None => {
                self.shared.refusals.count(REPLAYED);
                None
            }
            Some(0) => Some(self.decode(&envelope)),
            Some(count) => {
                self.behind_gap = Some(envelope);
                Some(Err(RecvError::Lagged(count)))
            }
        }
    }

    /// How many of this publisher's are missing before this one; none if it came before.
    fn missing_before(&mut self, header: &Header) -> Option<u64> {
        if self.seen.len() >= PUBLISHERS && !self.seen.contains_key(&header.process) {
            self.seen.clear();
        }
        let last = self.seen.entry(header.process).or_insert_with(|| header.sequence.saturating_sub(1));
        let ahead = header.sequence.checked_sub(*last).filter(|ahead| *ahead > 0)?;
        *last = header.sequence;
        Some(ahead - 1)
    }

    fn decode(&self, envelope: &Envelope) -> Result<M, RecvError> {
        envelope.decode().map_err(|error| {
            self.shared.refusals.count_error(&error);
            self.undecodable(envelope.header.from.to_string(), &error)
        })
    }

    fn undecodable(&self, from: String, reason: &dyn std::fmt::Display) -> RecvError {
        RecvError::Undecodable { name: self.topic.name(), from, reason: reason.to_string() }
    }
}
