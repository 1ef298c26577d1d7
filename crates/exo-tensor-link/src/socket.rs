//! A TCP stream with deadlines: spins a little, then sleeps in `poll`.

use crate::closer::Closer;
use crate::error::LinkError;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest spin: about three loopback round trips, and less than two wake-ups cost.
const SPIN_MOST: Duration = Duration::from_micros(50);
/// Shortest spin: about two system calls.
const SPIN_LEAST: Duration = Duration::from_micros(2);
/// A silent peer is given up after this: idle time and one probe each second.
const SILENCE: Duration = Duration::from_secs(3);

/// One direction of a stream; a clone serves the other.
#[derive(Clone)]
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    closer: Closer,
    /// How long to spin before sleeping: doubles when it paid, halves when it did not.
    spin: Duration,
}

impl Socket {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let socket = SockRef::from(&stream);
        let second = Duration::from_secs(1);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(second).with_interval(second).with_retries(2))?;
        socket.set_tcp_user_timeout(Some(SILENCE))?;
        let stream = Arc::new(stream);
        Ok(Self { closer: Closer::new(stream.clone()), stream, spin: SPIN_MOST })
    }

    /// Connects; the caller tries again if nobody listens yet.
    pub fn connect(address: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Self::new(TcpStream::connect_timeout(&address, left)?)
    }

    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }

    pub fn is_closed(&self) -> bool {
        self.closer.is_closed()
    }

    /// Why nothing goes any more.
    pub fn closed(&self) -> LinkError {
        self.closer.error()
    }

    /// Ends one direction; with both, closers that are still held keep no link alive.
    pub fn shut(&self, direction: Shutdown) {
        // The peer may have closed it already.
        let _closed = self.stream.shutdown(direction);
    }

    /// Reads at least one byte; 0 is the end.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Instant, doing: &'static str) -> Result<usize, LinkError> {
        self.until(deadline, doing, PollFlags::POLLIN, |mut stream| stream.read(buffer))
    }

    /// Writes all of it.
    pub fn write_all(&mut self, mut bytes: &[u8], deadline: Instant, doing: &'static str) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            let written = self.until(deadline, doing, PollFlags::POLLOUT, |mut stream| stream.write(bytes))?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Writes what the network takes now; none if it takes nothing.
    pub fn try_write(&mut self, bytes: &[u8], doing: &'static str) -> Result<Option<usize>, LinkError> {
        loop {
            match (&*self.stream).write(bytes) {
                Ok(written) => return Ok(Some(written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(self.failed(error, doing)),
            }
        }
    }

    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn until(
        &mut self,
        deadline: Instant,
        doing: &'static str,
        flags: PollFlags,
        mut attempt: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Result<usize, LinkError> {
        let stream = self.stream.clone();
        let (mut started, mut slept) = (None, false);
        loop {
            match attempt(&stream) {
                Ok(count) => {
                    if started.is_some() && !slept {
                        self.spin = (self.spin * 2).min(SPIN_MOST);
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let now = Instant::now();
                    if now >= deadline {
                        return Err(LinkError::Timeout { doing });
                    }
                    if now - *started.get_or_insert(now) < self.spin {
                        std::hint::spin_loop();
                    } else {
                        self.spin = (self.spin / 2).max(SPIN_LEAST);
                        self.sleep(flags, deadline - now, doing)?;
                        slept = true;
                    }
                }
                Err(error) => return Err(self.failed(error, doing)),
            }
        }
    }

    /// Sleeps until the socket is ready or the time is over.
    fn sleep(&self, flags: PollFlags, left: Duration, doing: &'static str) -> Result<(), LinkError> {
        let millis = left.as_millis().saturating_add(1).min(60_000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.stream.as_fd(), flags)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(LinkError::Io { doing, source: error.into() }),
        }
    }

    /// A peer that is gone is no trouble of the network: the link is closed.
    fn failed(&self, source: io::Error, doing: &'static str) -> LinkError {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
        let gone = matches!(source.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut);
        if gone || self.closer.is_closed() { self.closed() } else { LinkError::Io { doing, source } }
    }
}
