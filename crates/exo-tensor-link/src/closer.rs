//! Ends waits from another thread.

use crate::error::LinkError;
use exo_identity::{HandshakeRefused, PeerRefused};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Closes a link, possibly while another thread waits in it: that call returns `Closed`, or why the peer is refused.
#[derive(Debug, Clone)]
pub struct Closer {
    stream: Arc<TcpStream>,
    closed: Arc<AtomicBool>,
    refused: Arc<OnceLock<PeerRefused>>,
}

impl Closer {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        Self { stream, closed: Arc::default(), refused: Arc::default() }
    }

    /// Closes it; doing it twice does nothing more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // The peer may have closed it already.
        let _closed = self.stream.shutdown(Shutdown::Both);
    }

    /// Closes it because its peer was thrown out since the link was made: calls of the link return that reason.
    pub fn refuse(&self, reason: PeerRefused) {
        // The first reason stands.
        let _known = self.refused.set(reason);
        self.close();
    }

    /// Whether it was closed on this side.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What calls of a link that is over return.
    pub(crate) fn error(&self) -> LinkError {
        match self.refused.get() {
            Some(reason) => HandshakeRefused::Peer(reason.clone()).into(),
            None => LinkError::Closed,
        }
    }
}
