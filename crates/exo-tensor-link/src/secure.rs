//! TLS over a [`Socket`], blocking, for two threads: one that sends and one that receives.
//!
//! The two share the state of the connection, and hold it only while they compute: nobody waits for the network with it.

use crate::closer::Closer;
use crate::error::LinkError;
use crate::socket::Socket;
use exo_identity::{Facts, HandshakeRefused, Identity, TENSOR, peer_of, server_name};
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Read at once: four records.
const RAW: usize = 64 << 10;

const SHAKING: &str = "shaking hands";

/// One direction of an encrypted stream; a clone serves the other.
pub(crate) struct Secure {
    socket: Socket,
    tls: Arc<Mutex<Connection>>,
    /// What leaves.
    out: Vec<u8>,
    /// What arrived and was not decrypted: `start..end`.
    raw: Vec<u8>,
    start: usize,
    end: usize,
    /// Encrypted, and posted: `gone..` has to leave still.
    posted: Vec<u8>,
    gone: usize,
}

impl Clone for Secure {
    fn clone(&self) -> Self {
        Self::new(self.socket.clone(), self.tls.clone())
    }
}

impl Secure {
    /// The side that calls.
    pub fn connect(socket: Socket, identity: &Identity, deadline: Instant) -> Result<Self, LinkError> {
        let config = identity.client_config(TENSOR).map_err(unusable)?;
        let connection = ClientConnection::new(config, server_name()).map_err(|error| refused(&error))?;
        Self::shake(socket, connection.into(), deadline)
    }

    /// The side that is called.
    pub fn accept(socket: Socket, identity: &Identity, deadline: Instant) -> Result<Self, LinkError> {
        let config = identity.server_config(TENSOR).map_err(unusable)?;
        let connection = ServerConnection::new(config).map_err(|error| refused(&error))?;
        Self::shake(socket, connection.into(), deadline)
    }

    fn new(socket: Socket, tls: Arc<Mutex<Connection>>) -> Self {
        Self { socket, tls, out: Vec::new(), raw: vec![0; RAW], start: 0, end: 0, posted: Vec::new(), gone: 0 }
    }

    fn shake(socket: Socket, connection: Connection, deadline: Instant) -> Result<Self, LinkError> {
        let mut secure = Self::new(socket, Arc::new(Mutex::new(connection)));
        let shaken = secure.shake_hands(deadline);
        if shaken.is_err() {
            // The peer is told why, if it still listens.
            let _told = secure.flush(deadline);
        }
        shaken?;
        tracing::debug!(node = %secure.peer()?.name.node_id, "a link is encrypted");
        Ok(secure)
    }

    /// Who the other side is, as its certificate said.
    pub fn peer(&self) -> Result<Facts, LinkError> {
        peer_of(lock(&self.tls).peer_certificates()).map_err(|error| LinkError::Peer(error.into()))
    }

    fn shake_hands(&mut self, deadline: Instant) -> Result<(), LinkError> {
        loop {
            self.flush(deadline)?;
            if !lock(&self.tls).is_handshaking() {
                return Ok(());
            }
            self.receive(deadline, SHAKING)?;
            while self.start < self.end && lock(&self.tls).is_handshaking() {
                self.feed()?;
            }
        }
    }

    pub fn closer(&self) -> Closer {
        self.socket.closer()
    }

    pub fn is_closed(&self) -> bool {
        self.socket.is_closed()
    }

    /// Why nothing goes any more.
    pub fn closed(&self) -> LinkError {
        self.socket.closed()
    }

    /// Ends one direction; with both, closers that are still held keep no link alive.
    pub fn shut(&self, direction: Shutdown) {
        self.socket.shut(direction);
    }

    /// Encrypts it and keeps it until [`Self::advance`] has sent it. Nothing waits.
    pub fn post(&mut self, mut bytes: &[u8], doing: &'static str) -> Result<(), LinkError> {
        if self.gone == self.posted.len() {
            self.posted.clear();
            self.gone = 0;
        }
        let mut tls = lock(&self.tls);
        while !bytes.is_empty() {
            let taken = tls.writer().write(bytes).map_err(|source| LinkError::Io { doing, source })?;
            encrypted(&mut tls, &mut self.posted).map_err(|source| LinkError::Io { doing, source })?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Sends of what was posted as much as the network takes now; true when all of it has left.
    pub fn advance(&mut self, doing: &'static str) -> Result<bool, LinkError> {
        while self.gone < self.posted.len() {
            match self.socket.try_write(&self.posted[self.gone..], doing)? {
                Some(written) => self.gone += written,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// What tells that there is something to read, or room to send.
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.socket.readiness()
    }

    /// Writes all of it, behind what was posted.
    pub fn write_all(&mut self, mut bytes: &[u8], deadline: Instant, doing: &'static str) -> Result<(), LinkError> {
        let gone = std::mem::replace(&mut self.gone, self.posted.len());
        self.socket.write_all(&self.posted[gone..], deadline, doing)?;
        while !bytes.is_empty() {
            let mut tls = lock(&self.tls);
            let taken = tls.writer().write(bytes).map_err(|source| LinkError::Io { doing, source })?;
            self.out.clear();
            encrypted(&mut tls, &mut self.out).map_err(|source| LinkError::Io { doing, source })?;
            drop(tls);
            self.socket.write_all(&self.out, deadline, doing)?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Reads at least one byte into a buffer that has room; 0 is the end.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Instant, doing: &'static str) -> Result<usize, LinkError> {
        loop {
            let read = lock(&self.tls).reader().read(buffer);
            match read {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without a goodbye: whoever cuts a frame short is found out by the frame.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(source) => return Err(LinkError::Io { doing, source }),
            }
            if self.start < self.end {
                self.feed()?;
            } else if self.receive(deadline, doing)? == 0 {
                return Ok(0);
            }
        }
    }

    /// Waits for bytes of the network; 0 is the end, but for a handshake, which has none.
    fn receive(&mut self, deadline: Instant, doing: &'static str) -> Result<usize, LinkError> {
        let received = self.socket.read(&mut self.raw, deadline, doing)?;
        (self.start, self.end) = (0, received);
        if received == 0 && doing == SHAKING { Err(LinkError::Closed) } else { Ok(received) }
    }

    /// Decrypts some of what arrived.
    fn feed(&mut self) -> Result<(), LinkError> {
        let mut tls = lock(&self.tls);
        let mut arrived = &self.raw[self.start..self.end];
        let taken = tls.read_tls(&mut arrived).map_err(|source| LinkError::Io { doing: "decrypting", source })?;
        self.start += taken;
        tls.process_new_packets().map(drop).map_err(|error| refused(&error))
    }

    /// Sends what the connection itself has to say.
    fn flush(&mut self, deadline: Instant) -> Result<(), LinkError> {
        self.out.clear();
        let written = encrypted(&mut lock(&self.tls), &mut self.out);
        written.map_err(|source| LinkError::Io { doing: SHAKING, source })?;
        self.socket.write_all(&self.out, deadline, SHAKING)
    }
}

fn lock(tls: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encrypted(tls: &mut Connection, out: &mut Vec<u8>) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(out)?;
    }
    Ok(())
}

fn refused(error: &rustls::Error) -> LinkError {
    LinkError::Peer(HandshakeRefused::from(error))
}

fn unusable(error: exo_identity::CryptoError) -> LinkError {
    LinkError::Handshake { reason: error.to_string() }
}
