//! One error per operation.

use std::io;
use std::net::SocketAddr;

/// Why a rank cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("address {address} is in use: choose another port in `networking.tensorPorts`")]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a link is not made, or is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The deadline passed. While receiving, the next call goes on where this one stopped.
    #[error("the deadline passed while {doing}")]
    Timeout {
        /// What was not finished.
        doing: &'static str,
    },
    /// The peer closed it between two frames, or died, or a [`Closer`](crate::Closer) was used.
    #[error("the link is closed")]
    Closed,
    /// One side does not accept the other's certificate, or not any more, or what called does not speak TLS.
    #[error("{0}")]
    Peer(#[from] exo_identity::HandshakeRefused),
    /// The peer does not speak as agreed.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The peer does not want this rank of this instance.
    #[error("the peer refused the link: {reason}")]
    HandshakeRefused {
        /// In the peer's words.
        reason: String,
    },
    /// The frame is larger than was agreed; nothing was sent.
    #[error("a frame with {size} {what} is larger than the {limit} that both sides agreed on")]
    TooLarge {
        /// Bytes of metadata, or values.
        what: &'static str,
        /// How many.
        size: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The handshake to offer contradicts itself.
    #[error("this handshake cannot be offered: {reason}")]
    Handshake {
        /// What is wrong.
        reason: String,
    },
    /// The network.
    #[error("the link failed while {doing}: {source}")]
    Io {
        /// What was not finished.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// What a peer did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Not a frame of ours.
    #[error("a frame begins with {found:#010x}; is this another program's port?")]
    Magic {
        /// First four bytes.
        found: u32,
    },
    /// Another version of the protocol.
    #[error("the peer speaks version {found}, this rank {ours}: run the same exo on all nodes of an instance")]
    Version {
        /// The peer's.
        found: u8,
        /// Ours.
        ours: u8,
    },
    /// A kind that has no place here.
    #[error("a frame of kind {found} came where {expected} was expected")]
    Kind {
        /// Its code.
        found: u8,
        /// What was expected.
        expected: &'static str,
    },
    /// Values of another width than agreed.
    #[error("values of precision {found} came, {agreed} was agreed")]
    Precision {
        /// Its code.
        found: u8,
        /// The agreed code.
        agreed: u8,
    },
    /// A frame of another link.
    #[error("a frame of another link came")]
    Nonce,
    /// Not the next frame.
    #[error("frame {found} came where {expected} was expected")]
    Sequence {
        /// Its number.
        found: u64,
        /// The next in order.
        expected: u64,
    },
    /// Longer than agreed.
    #[error("a frame announces {size} {what}, {limit} were agreed")]
    Length {
        /// Bytes of metadata, or values.
        what: &'static str,
        /// How many.
        size: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The end came inside a frame.
    #[error("the link ended inside a frame, after {received} bytes of it")]
    Truncated {
        /// Bytes received of it.
        received: usize,
    },
    /// A handshake that does not say what it must.
    #[error("the handshake cannot be read: {reason}")]
    Handshake {
        /// What is wrong.
        reason: &'static str,
    },
}
