//! Waits to be called.

use crate::error::{BindError, LinkError};
use crate::handshake::Handshake;
use crate::link::Link;
use crate::secure::Secure;
use crate::socket::Socket;
use exo_identity::Identity;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a caller may take to say hello: others wait meanwhile.
const HELLO: Duration = Duration::from_secs(1);

/// A rank that can be called.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens; port 0 takes a free one.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let listener = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let bound = listener.local_addr()?;
            Ok(Self { listener, address: bound })
        });
        listener.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Io { address, source },
        })
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the rank that the handshake names. Others are refused and told why, and waited past.
    pub fn accept(&self, identity: &Identity, handshake: &Handshake, deadline: Instant) -> Result<Link, LinkError> {
        self.accept_one_of(identity, std::slice::from_ref(handshake), deadline).map(|(_, link)| link)
    }

    /// Waits for any of the ranks that the handshakes name, and tells which by the handshake's place.
    pub fn accept_one_of(
        &self,
        identity: &Identity,
        handshakes: &[Handshake],
        deadline: Instant,
    ) -> Result<(usize, Link), LinkError> {
        handshakes.iter().try_for_each(Handshake::check)?;
        let doing = "waiting to be called";
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(LinkError::Timeout { doing });
            }
            let (stream, from) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.sleep(deadline - now).map_err(|source| LinkError::Io { doing, source })?;
                    continue;
                }
                // The caller went away before it was let in.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(LinkError::Io { doing, source }),
            };
            match answer(stream, identity, handshakes, deadline.min(Instant::now() + HELLO)) {
                Ok(answered) => return Ok(answered),
                Err(error) => tracing::warn!(%from, %error, "a caller was turned away"),
            }
        }
    }

    fn sleep(&self, left: Duration) -> io::Result<()> {
        let timeout = PollTimeout::try_from(left.as_millis().saturating_add(1).min(60_000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn answer(
    stream: TcpStream,
    identity: &Identity,
    handshakes: &[Handshake],
    deadline: Instant,
) -> Result<(usize, Link), LinkError> {
    let socket = Socket::new(stream).map_err(|source| LinkError::Io { doing: "shaking hands", source })?;
    Link::answer(Secure::accept(socket, identity, deadline)?, handshakes, deadline)
}
