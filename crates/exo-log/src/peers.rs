//! The way to the other masters.

use bytes::Bytes;
use exo_types::NodeId;
use futures::future::BoxFuture;
use std::time::Duration;

/// Why a peer gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerCallError {
    /// Nobody there.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// More than the way can carry.
    #[error("the message is larger than {limit} bytes")]
    TooLarge {
        /// What it can carry.
        limit: usize,
    },
}

/// Carries a request to the log of another node ([`crate::EventLog::on_peer`] there) and its answer back. Requests may
/// be lost, repeated and overtaken; who asked is known to the receiver for sure.
pub trait PeerTransport: Send + Sync + 'static {
    /// One request, one answer, or an error within that time.
    fn call(&self, to: &NodeId, request: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, PeerCallError>>;
}
