//! Ends waits from another thread.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Closes a link, possibly while another thread waits in it: that call returns `Closed`.
#[derive(Debug, Clone)]
pub struct Closer {
    stream: Arc<TcpStream>,
    closed: Arc<AtomicBool>,
}

impl Closer {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        Self { stream, closed: Arc::default() }
    }

    /// Closes it; doing it twice does nothing more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // The peer may have closed it already.
        let _closed = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether it was closed on this side.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
