//! The end that answers.

use super::table::{Outflow, OutflowKey};
use super::{INTRODUCTION, STALL_LIMIT};
use crate::bus::{Shared, refusal};
use crate::envelope::{Draft, Header, Kind};
use crate::error::{BusError, PublishError, RecvError, SendError};
use crate::keys;
use crate::mailbox::Mailbox;
use crate::names::{Message, StreamService};
use crate::request::{Waiting, answer_into, next, read};
use crate::transport::Registration;
use exo_types::NodeId;
use std::marker::PhantomData;
use std::sync::Arc;

/// Streams that wait to be taken, at most; those beyond are refused as "busy".
const STREAMS: usize = 256;
/// Bytes of their questions, at most.
const BYTES: usize = 64 << 20;

/// What streams are asked of this node.
pub struct IncomingStreams<Q, I> {
    stream: StreamService<Q, I>,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox<Waiting>>,
    _registration: Registration,
}

/// One stream asked for, and already accepted: fail it to refuse.
pub struct IncomingStream<Q, I> {
    /// What is asked.
    pub open: Q,
    /// Who asks.
    pub from: NodeId,
    /// Where the answer goes.
    pub sender: StreamSender<I>,
}

impl<Q: Message, I: Message> IncomingStreams<Q, I> {
    pub(crate) async fn open(shared: Arc<Shared>, stream: StreamService<Q, I>) -> Result<Self, BusError> {
        let mailbox = Arc::new(Mailbox::new(STREAMS, BYTES));
        let key = keys::stream(stream.name(), &shared.node);
        let registration = answer_into(&shared, &key, &mailbox).await?;
        Ok(Self { stream, shared, mailbox, _registration: registration })
    }

    /// The next stream. One whose question cannot be read is refused and told here. Cancelling the wait loses nothing.
    pub async fn recv(&mut self) -> Result<IncomingStream<Q, I>, RecvError> {
        let name = self.stream.name();
        let Waiting { bytes, reply } = next(&self.shared, &self.mailbox).await?;
        let (envelope, open) = match read(&self.shared, name, bytes, Kind::Open) {
            Ok(read) => read,
            Err((error, reason)) => {
                reply.send(refusal(&self.shared.header(Kind::Refused, 0), &reason));
                return Err(error);
            }
        };
        let Header { process, stream, from, .. } = envelope.header;
        let Some(outflow) = self.shared.streams.new_outflow((process, stream)) else {
            let reason = format!("stream {stream} of process {process} is open already");
            reply.send(refusal(&self.shared.header(Kind::Refused, 0), &reason));
            return Err(RecvError::Undecodable { name, from: from.to_string(), reason });
        };
        reply.send(Draft::bare(&self.shared.header(Kind::Accepted, stream)).into());
        let sender = StreamSender {
            name,
            shared: self.shared.clone(),
            key: (process, stream),
            outflow,
            sent: 0,
            introduced: false,
            over: false,
            types: PhantomData,
        };
        Ok(IncomingStream { open, from, sender })
    }
}

/// Sends items, in order and no faster than they are taken. Dropping it without [`Self::finish`] fails the stream.
pub struct StreamSender<I> {
    name: &'static str,
    shared: Arc<Shared>,
    key: OutflowKey,
    outflow: Arc<Outflow>,
    sent: u64,
    /// The receiver's life was seen, so that its death will be.
    introduced: bool,
    over: bool,
    types: PhantomData<fn(I)>,
}

impl<I: Message> StreamSender<I> {
    /// Sends one item; waits for credit, at most a minute. Cancelling the wait sends nothing.
    pub async fn send(&mut self, item: &I) -> Result<(), SendError> {
        let header = Header { sequence: self.sent, ..self.shared.header(Kind::Item, self.key.1) };
        let draft = Draft::new(self.name, &header, item)?;
        self.introduce().await?;
        self.credit().await?;
        self.shared.transport.ready().await.map_err(|_| PublishError::Closed)?;
        self.shared.transport.put(&keys::inbox(self.key.0), draft.into()).map_err(|_| PublishError::Closed)?;
        self.sent += 1;
        Ok(())
    }

    async fn introduce(&mut self) -> Result<(), SendError> {
        if !self.introduced {
            let seen = self.shared.streams.wait_alive(self.key.0, INTRODUCTION).await;
            self.introduced = seen;
        }
        if self.introduced { Ok(()) } else { Err(SendError::Lost) }
    }

    async fn credit(&self) -> Result<(), SendError> {
        let granted = async {
            while self.sent >= self.outflow.allowed() {
                self.outflow.changed.notified().await;
            }
        };
        tokio::select! {
            biased;
            () = self.outflow.over.cancelled() => Err(self.why_over()),
            granted = tokio::time::timeout(STALL_LIMIT, granted) => {
                granted.map_err(|_| SendError::Stalled { after: STALL_LIMIT })
            }
        }
    }

    fn why_over(&self) -> SendError {
        if self.outflow.lost.is_cancelled() { SendError::Lost } else { SendError::Cancelled }
    }
}

impl<I> StreamSender<I> {
    /// Resolves when the receiver cancelled or went away.
    pub async fn cancelled(&self) {
        self.outflow.over.cancelled().await;
    }

    /// Whether the receiver cancelled or went away.
    pub fn is_cancelled(&self) -> bool {
        self.outflow.over.is_cancelled()
    }

    /// Ends the stream well.
    pub fn finish(mut self) {
        self.over = true;
        let header = self.last(Kind::End);
        self.shared.tell(self.key.0, Draft::bare(&header));
    }

    /// Ends the stream badly; the receiver gets the reason behind the items sent.
    pub fn fail(mut self, reason: &str) {
        self.end_badly(reason);
    }

    fn end_badly(&mut self, reason: &str) {
        self.over = true;
        let header = self.last(Kind::Failed);
        let draft = Draft::new(self.name, &header, reason).unwrap_or_else(|_| Draft::bare(&header));
        self.shared.tell(self.key.0, draft);
    }

    fn last(&self, kind: Kind) -> Header {
        Header { sequence: self.sent, ..self.shared.header(kind, self.key.1) }
    }
}

impl<I> Drop for StreamSender<I> {
    fn drop(&mut self) {
        if !self.over {
            self.end_badly("the sender dropped the stream");
        }
        self.shared.streams.drop_outflow(self.key);
    }
}
