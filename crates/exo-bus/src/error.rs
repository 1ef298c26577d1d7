//! One error per operation; what a caller can act on is a variant of its own.

use crate::transport::TransportError;
use exo_types::NodeId;
use std::time::Duration;

/// Why the bus could not be joined, or something not be declared on it.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Another process listens there.
    #[error("port {port} is in use by another process: stop it, or set another `{key}` in the configuration")]
    PortInUse {
        /// The port.
        port: u16,
        /// Its key in the configuration.
        key: &'static str,
    },
    /// An address of this machine was expected.
    #[error("cannot listen on {address}: {reason}; check `networking` in the configuration")]
    Listen {
        /// As configured.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// A setting that cannot be.
    #[error("{key} cannot be {value:?}: {reason}")]
    Config {
        /// Its key in the configuration.
        key: &'static str,
        /// As configured.
        value: String,
        /// What is expected.
        reason: String,
    },
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
    /// The adapter's own trouble.
    #[error("the bus cannot {action}: {reason}")]
    Transport {
        /// What was tried.
        action: &'static str,
        /// What the adapter says.
        reason: String,
    },
}

impl From<TransportError> for BusError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Closed => Self::Closed,
            TransportError::Failed { action, reason } => Self::Transport { action, reason },
        }
    }
}

/// Why a message did not leave.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Over [`MESSAGE_LIMIT`](crate::MESSAGE_LIMIT).
    #[error("a message for {name} has {size} bytes, at most {limit} are allowed: send it in parts")]
    TooLarge {
        /// Topic, service or stream.
        name: &'static str,
        /// Bytes that it has.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The type cannot be written as MessagePack: a defect.
    #[error("a message for {name} cannot be encoded: {reason}")]
    Encode {
        /// Topic, service or stream.
        name: &'static str,
        /// What the encoder says.
        reason: String,
    },
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
}

/// Why a presence cannot be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// A presence is a few words, not a document.
    #[error("a presence of kind {name} has {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The kind.
        name: &'static str,
        /// Bytes that it has.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The type cannot be written as MessagePack: a defect.
    #[error("a presence of kind {name} cannot be encoded: {reason}")]
    Encode {
        /// The kind.
        name: &'static str,
        /// What the encoder says.
        reason: String,
    },
    /// The bus itself.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What comes instead of a message. After `Lagged` and `Undecodable` the next call goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// So many messages were lost here; whoever needs them asks for them.
    #[error("{0} messages were lost; ask for what is missing")]
    Lagged(u64),
    /// A message that this version cannot read.
    #[error("a message on {name} from {from} cannot be read: {reason}")]
    Undecodable {
        /// Topic, service or kind.
        name: &'static str,
        /// Its sender, `unknown` when not even that can be read.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The bus was closed; nothing comes any more.
    #[error("the bus is closed")]
    Closed,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody there serves it, or who did went away before the answer.
    #[error("node {node} does not serve {service}, or is not reachable")]
    Unreachable {
        /// The service.
        service: &'static str,
        /// The node asked.
        node: NodeId,
    },
    /// No answer in time. Whether it was carried out is unknown.
    #[error("node {node} did not answer {service} within {after:?}; whether it was carried out is unknown")]
    Timeout {
        /// The service.
        service: &'static str,
        /// The node asked.
        node: NodeId,
        /// The deadline.
        after: Duration,
    },
    /// The node said no.
    #[error("refused: {0}")]
    Refused(String),
    /// The answer cannot be read by this version.
    #[error("the answer of node {node} to {service} cannot be read: {reason}")]
    Undecodable {
        /// The service.
        service: &'static str,
        /// The node asked.
        node: NodeId,
        /// What is wrong with it.
        reason: String,
    },
    /// The request itself could not leave.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Why an answer did not leave.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// Too large or not encodable; the asker is told that it was refused.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Why a stream did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The opening request failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Too much or gone at once.
    #[error("node {node} went away while stream {stream} was opened")]
    Lost {
        /// The stream's name.
        stream: &'static str,
        /// The node asked.
        node: NodeId,
    },
}

/// How a stream ended, when not well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The sending process is gone.
    #[error("node {node} went away in the middle of stream {stream}")]
    Lost {
        /// The stream's name.
        stream: &'static str,
        /// The sender.
        node: NodeId,
    },
    /// Items are missing.
    #[error("stream {stream} has a gap: item {expected} was expected, {got} came")]
    Gap {
        /// The stream's name.
        stream: &'static str,
        /// The next in order.
        expected: u64,
        /// What came.
        got: u64,
    },
    /// The sender gave up and said why.
    #[error("the sender closed the stream: {reason}")]
    Closed {
        /// In the sender's words.
        reason: String,
    },
    /// Nothing came for that long.
    #[error("nothing came on stream {stream} for {after:?}")]
    IdleTimeout {
        /// The stream's name.
        stream: &'static str,
        /// The deadline given to `recv`.
        after: Duration,
    },
    /// The sender sent more than it had credit for.
    #[error("stream {stream}: more than {window} items came unasked")]
    Overrun {
        /// The stream's name.
        stream: &'static str,
        /// Items in flight allowed.
        window: u64,
    },
    /// An item that this version cannot read.
    #[error("an item of stream {stream} cannot be read: {reason}")]
    Undecodable {
        /// The stream's name.
        stream: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why an item did not leave. The stream is over for all but `Publish`.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The receiver does not want more.
    #[error("the receiver cancelled the stream")]
    Cancelled,
    /// The receiving process is gone.
    #[error("the receiving process went away")]
    Lost,
    /// The receiver gave no credit for that long.
    #[error("the receiver took nothing for {after:?}")]
    Stalled {
        /// The limit.
        after: Duration,
    },
    /// The item itself could not leave.
    #[error(transparent)]
    Publish(#[from] PublishError),
}
