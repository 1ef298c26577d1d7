//! What an adapter provides: keys and bytes. Everything typed is built on it once, for all adapters.

use crate::links::LinkReport;
use bytes::Bytes;
use exo_types::NodeId;
use futures::future::BoxFuture;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Called with each message, in order per sender. Must not wait.
pub type Deliver = Arc<dyn Fn(Bytes) + Send + Sync>;

/// Called with each question and the way to answer it. Must not wait.
pub type Answer = Arc<dyn Fn(Bytes, Reply) + Send + Sync>;

/// Called with each change of what is declared. Must not wait.
pub type Witness = Arc<dyn Fn(Sighting) + Send + Sync>;

/// A declared key came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// It is there; also told of those that were there before the watch.
    Appeared(String),
    /// Whoever declared it took it back or died.
    Gone(String),
}

/// Answers one question; dropped unused, the asker sees nobody.
pub struct Reply(Box<dyn FnOnce(Bytes) + Send>);

impl Reply {
    /// Wraps the adapter's way.
    pub fn new(send: impl FnOnce(Bytes) + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends the answer.
    pub fn send(self, bytes: Bytes) {
        (self.0)(bytes);
    }
}

/// Holds a declaration; dropping it takes the declaration back.
pub struct Registration(#[expect(dead_code, reason = "held for its destructor")] Box<dyn Any + Send + Sync>);

impl Registration {
    /// Wraps whatever takes the declaration back when dropped.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

/// What an adapter cannot do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// It was closed.
    #[error("the bus is closed")]
    Closed,
    /// Anything else.
    #[error("the bus cannot {action}: {reason}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// In the adapter's words.
        reason: String,
    },
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody answers this key, or who did went away.
    #[error("nobody answers")]
    Nobody,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The adapter was closed.
    #[error("the bus is closed")]
    Closed,
}

/// An adapter. Keys are `/`-separated segments without `*`, `$`, `?` and `#`.
///
/// Contract: messages put on one key by one sender arrive in the order of the calls; whatever a process declared
/// before it declared a presence is known to all who see that presence; presence of a dead process ends.
pub trait Transport: Send + Sync + 'static {
    /// Resolves when there is room for another message; the only place where publishers wait.
    fn ready(&self) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Sends to all subscribers of the key, those of this process included. Never waits.
    fn put(&self, key: &str, bytes: Bytes) -> Result<(), TransportError>;

    /// Receives what is put on the key.
    fn subscribe<'a>(&'a self, key: &'a str, deliver: Deliver) -> BoxFuture<'a, Result<Registration, TransportError>>;

    /// Asks whoever answers the key.
    fn call<'a>(&'a self, key: &'a str, bytes: Bytes, deadline: Duration) -> BoxFuture<'a, Result<Bytes, CallError>>;

    /// Answers the key.
    fn answer<'a>(&'a self, key: &'a str, answer: Answer) -> BoxFuture<'a, Result<Registration, TransportError>>;

    /// Declares the key for as long as the registration and this process live.
    fn declare<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Registration, TransportError>>;

    /// Watches the declared keys that begin with `prefix` and a `/`.
    fn watch<'a>(&'a self, prefix: &'a str, witness: Witness) -> BoxFuture<'a, Result<Registration, TransportError>>;

    /// Takes back everything and leaves.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// How its links fare; nothing where there are none.
    fn links(&self) -> LinkReport {
        LinkReport::default()
    }

    /// Who leads the cluster. Its master and all others have to miss each other at once; who else is lost it tells, and
    /// may be missed late. None: nobody is known to, and everybody has to be missed at once. Nothing to do for an adapter
    /// that notices every loss as soon.
    fn follow(&self, _leader: Option<&NodeId>) {}

    /// Something is to come from that node: until this is dropped its loss has to show soon, whoever leads.
    fn await_from(&self, _node: &NodeId) -> Registration {
        Registration::new(())
    }

    /// Wakes with every change of [`Transport::links`] but that of traffic.
    fn link_changes(&self) -> watch::Receiver<()> {
        watch::Sender::default().subscribe()
    }
}
