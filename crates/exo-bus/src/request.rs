//! The answering end of a service.

use crate::bus::{Shared, refusal};
use crate::envelope::{Draft, Envelope, Kind};
use crate::error::{BusError, RecvError, ReplyError};
use crate::keys;
use crate::mailbox::{Mailbox, Popped};
use crate::names::{Message, Service};
use crate::refusals::{FLOOD, GARBAGE};
use crate::transport::{Registration, Reply};
use bytes::Bytes;
use exo_types::NodeId;
use std::marker::PhantomData;
use std::sync::Arc;

/// Requests that wait, at most; those beyond are refused as "busy".
const REQUESTS: usize = 256;
/// Bytes of them, at most.
const BYTES: usize = 64 << 20;

/// A question and the way back.
pub(crate) struct Waiting {
    pub bytes: Bytes,
    pub reply: Reply,
}

/// Takes questions into a mailbox; what finds it full is refused at once.
pub(crate) async fn answer_into(
    shared: &Arc<Shared>,
    key: &str,
    mailbox: &Arc<Mailbox<Waiting>>,
) -> Result<Registration, BusError> {
    let (incoming, refusals) = (mailbox.clone(), shared.refusals.clone());
    let header = shared.header(Kind::Refused, 0);
    let answer = Arc::new(move |bytes: Bytes, reply: Reply| {
        let size = bytes.len();
        if let Err(waiting) = incoming.push(Waiting { bytes, reply }, size) {
            refusals.count(FLOOD);
            waiting.reply.send(refusal(&header, "this node is busy: too many requests wait; try again"));
        }
    });
    Ok(shared.transport.answer(key, answer).await?)
}

/// What is asked of this node.
pub struct Requests<Q, R> {
    service: Service<Q, R>,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox<Waiting>>,
    _registration: Registration,
}

/// One question.
pub struct Incoming<Q, R> {
    /// What.
    pub request: Q,
    /// Who asks.
    pub from: NodeId,
    /// Answers it, possibly from another task.
    pub responder: Responder<R>,
}

/// Answers one question; dropped unused, the asker is refused.
pub struct Responder<R> {
    name: &'static str,
    shared: Arc<Shared>,
    reply: Option<Reply>,
    types: PhantomData<fn(R)>,
}

impl<Q: Message, R: Message> Requests<Q, R> {
    pub(crate) async fn open(shared: Arc<Shared>, service: Service<Q, R>) -> Result<Self, BusError> {
        let mailbox = Arc::new(Mailbox::new(REQUESTS, BYTES));
        let key = keys::service(service.name(), &shared.node);
        let registration = answer_into(&shared, &key, &mailbox).await?;
        Ok(Self { service, shared, mailbox, _registration: registration })
    }

    /// The next question. One that cannot be read is refused and told here. Cancelling the wait loses nothing.
    pub async fn recv(&mut self) -> Result<Incoming<Q, R>, RecvError> {
        let waiting = next(&self.shared, &self.mailbox).await?;
        let responder = Responder {
            name: self.service.name(),
            shared: self.shared.clone(),
            reply: Some(waiting.reply),
            types: PhantomData,
        };
        match read(&self.shared, self.service.name(), waiting.bytes, Kind::Request) {
            Ok((envelope, request)) => Ok(Incoming { request, from: envelope.header.from, responder }),
            Err((error, reason)) => {
                responder.refuse(&reason);
                Err(error)
            }
        }
    }
}

/// Waits for the next question.
pub(crate) async fn next(shared: &Shared, mailbox: &Mailbox<Waiting>) -> Result<Waiting, RecvError> {
    let popped = tokio::select! {
        biased;
        () = shared.closed.cancelled() => return Err(RecvError::Closed),
        popped = mailbox.pop() => popped,
    };
    match popped {
        Popped::Item(waiting) => Ok(waiting),
        Popped::Lost(count) => Err(RecvError::Lagged(count)),
    }
}

/// Reads a question, or says to both sides why not.
pub(crate) fn read<Q: Message>(
    shared: &Shared,
    name: &'static str,
    bytes: Bytes,
    kind: Kind,
) -> Result<(Envelope, Q), (RecvError, String)> {
    let undecodable = |from: &str, reason: &dyn std::fmt::Display| {
        let error = RecvError::Undecodable { name, from: from.to_owned(), reason: reason.to_string() };
        (error, format!("the request cannot be read: {reason}"))
    };
    let envelope = Envelope::parse(bytes).map_err(|error| {
        shared.refusals.count_error(&error);
        undecodable("unknown", &error)
    })?;
    let from = envelope.header.from.clone();
    if envelope.header.kind != kind {
        shared.refusals.count(GARBAGE);
        return Err(undecodable(from.as_str(), &format!("{kind:?} expected, {:?} came", envelope.header.kind)));
    }
    match envelope.decode() {
        Ok(request) => Ok((envelope, request)),
        Err(error) => {
            shared.refusals.count_error(&error);
            Err(undecodable(from.as_str(), &error))
        }
    }
}

impl<Q, R: Message> Incoming<Q, R> {
    /// Answers.
    pub fn reply(self, answer: &R) -> Result<(), ReplyError> {
        self.responder.reply(answer)
    }

    /// Says no.
    pub fn refuse(self, reason: &str) {
        self.responder.refuse(reason);
    }
}

impl<R: Message> Responder<R> {
    /// Answers. What is too large to send is refused, and told here too.
    pub fn reply(self, answer: &R) -> Result<(), ReplyError> {
        match Draft::new(self.name, &self.shared.header(Kind::Reply, 0), answer) {
            Ok(draft) => {
                self.send(draft.into());
                Ok(())
            }
            Err(error) => {
                self.refuse(&error.to_string());
                Err(error.into())
            }
        }
    }
}

impl<R> Responder<R> {
    /// Says no.
    pub fn refuse(self, reason: &str) {
        let bytes = refusal(&self.shared.header(Kind::Refused, 0), reason);
        self.send(bytes);
    }

    fn send(mut self, bytes: Bytes) {
        if let Some(reply) = self.reply.take() {
            reply.send(bytes);
        }
    }
}

impl<R> Drop for Responder<R> {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply.send(refusal(&self.shared.header(Kind::Refused, 0), "the node dropped the request"));
        }
    }
}
