//! One link over TCP.

use crate::closer::Closer;
use crate::error::{LinkError, ProtocolError};
use crate::frame::{Agreed, HEADER, Header, Kind};
use crate::handshake::{Handshake, LIMIT, Precision};
use crate::receiver::LinkReceiver;
use crate::secure::Secure;
use crate::sender::LinkSender;
use crate::socket::Socket;
use crate::tensor_link::TensorLink;
use exo_identity::{Facts, Identity};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Between two attempts to reach a rank that does not listen yet.
const RETRY: Duration = Duration::from_millis(20);

/// A link between two ranks, over TCP.
pub struct Link {
    sender: LinkSender,
    receiver: LinkReceiver,
    agreed: Agreed,
}

impl Link {
    /// Calls a rank, again and again until it answers or the deadline passes.
    pub fn connect(
        address: SocketAddr,
        identity: &Identity,
        handshake: &Handshake,
        deadline: Instant,
    ) -> Result<Self, LinkError> {
        handshake.check()?;
        loop {
            let secure = Secure::connect(dial(address, deadline)?, identity, deadline);
            match secure.and_then(|secure| Self::call(secure, handshake, deadline)) {
                // It closes the door, or was just stopped; the next one there may be the right one.
                Err(LinkError::Closed) if Instant::now() + RETRY < deadline => std::thread::sleep(RETRY),
                called => return called,
            }
        }
    }

    fn call(mut socket: Secure, handshake: &Handshake, deadline: Instant) -> Result<Self, LinkError> {
        // Only to tell links apart; the hasher's keys are random for every process and differ with every call.
        let nonce = RandomState::new().hash_one(handshake.incarnation);
        greet(&mut socket, Kind::Hello, nonce, &handshake.write(), deadline)?;
        let (header, body) = hear(&mut socket, "welcome", deadline)?;
        match header.kind {
            Kind::Welcome if header.nonce == nonce => {
                let theirs = Handshake::read(&body)?;
                let agreed = handshake.agree(&theirs).map_err(|reason| LinkError::HandshakeRefused { reason })?;
                Ok(Self::new(socket, &agreed, nonce))
            }
            Kind::Welcome => Err(ProtocolError::Nonce.into()),
            Kind::Refusal => Err(LinkError::HandshakeRefused { reason: String::from_utf8_lossy(&body).into_owned() }),
            kind => Err(ProtocolError::Kind { found: kind.code(), expected: "welcome or refusal" }.into()),
        }
    }

    /// The other side of [`Self::connect`], on a stream that was accepted; with the place of the handshake that fits.
    pub(crate) fn answer(
        mut socket: Secure,
        handshakes: &[Handshake],
        deadline: Instant,
    ) -> Result<(usize, Self), LinkError> {
        let (header, body) = hear(&mut socket, "hello", deadline)?;
        if header.kind != Kind::Hello {
            return Err(ProtocolError::Kind { found: header.kind.code(), expected: "hello" }.into());
        }
        match Handshake::choose(handshakes, &Handshake::read(&body)?) {
            Ok((place, agreed)) => {
                greet(&mut socket, Kind::Welcome, header.nonce, &handshakes[place].write(), deadline)?;
                Ok((place, Self::new(socket, &agreed, header.nonce)))
            }
            Err(reason) => {
                greet(&mut socket, Kind::Refusal, header.nonce, reason.as_bytes(), deadline)?;
                Err(LinkError::HandshakeRefused { reason })
            }
        }
    }

    fn new(socket: Secure, agreed: &Handshake, nonce: u64) -> Self {
        let agreed = Agreed::of(agreed, nonce);
        let sender = LinkSender::new(socket.clone(), agreed);
        Self { sender, receiver: LinkReceiver::new(socket, agreed), agreed }
    }

    /// Two halves for two threads. Dropping one leaves the other; a closer of either ends both.
    pub fn split(self) -> (LinkSender, LinkReceiver) {
        (self.sender, self.receiver)
    }

    /// Who the other side is, as its certificate said when the link was made.
    pub fn peer(&self) -> Result<Facts, LinkError> {
        self.sender.peer()
    }

    /// Most values in a frame, as both sides agreed.
    pub fn max_values(&self) -> usize {
        self.agreed.max_values
    }

    /// Most bytes of metadata in a frame, as both sides agreed.
    pub fn max_metadata(&self) -> usize {
        self.agreed.max_metadata
    }

    /// See [`TensorLink::send`].
    pub fn send(&mut self, metadata: &[u8], values: &[f32], deadline: Instant) -> Result<(), LinkError> {
        self.sender.send(metadata, values, deadline)
    }

    /// See [`TensorLink::recv_into`].
    pub fn recv_into(
        &mut self,
        metadata: &mut Vec<u8>,
        values: &mut Vec<f32>,
        deadline: Instant,
    ) -> Result<u64, LinkError> {
        self.receiver.recv_into(metadata, values, deadline)
    }

    /// See [`TensorLink::post`].
    pub fn post(&mut self, metadata: &[u8], values: &[f32]) -> Result<(), LinkError> {
        self.sender.post(metadata, values)
    }

    /// See [`TensorLink::advance`].
    pub fn advance(&mut self) -> Result<bool, LinkError> {
        self.sender.advance()
    }

    /// See [`TensorLink::readiness`].
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.sender.readiness()
    }

    /// Ends the calls of this link from another thread.
    pub fn closer(&self) -> Closer {
        self.sender.closer()
    }
}

impl TensorLink for Link {
    fn send(&mut self, metadata: &[u8], values: &[f32], deadline: Instant) -> Result<(), LinkError> {
        Link::send(self, metadata, values, deadline)
    }

    fn recv_into(
        &mut self,
        metadata: &mut Vec<u8>,
        values: &mut Vec<f32>,
        deadline: Instant,
    ) -> Result<u64, LinkError> {
        Link::recv_into(self, metadata, values, deadline)
    }

    fn post(&mut self, metadata: &[u8], values: &[f32]) -> Result<(), LinkError> {
        Link::post(self, metadata, values)
    }

    fn advance(&mut self) -> Result<bool, LinkError> {
        Link::advance(self)
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        Link::readiness(self)
    }

    fn max_values(&self) -> usize {
        Link::max_values(self)
    }

    fn closer(&self) -> Closer {
        Link::closer(self)
    }
}

fn dial(address: SocketAddr, deadline: Instant) -> Result<Socket, LinkError> {
    let doing = "connecting";
    loop {
        match Socket::connect(address, deadline) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Err(LinkError::Timeout { doing }),
            Err(error) if Instant::now() + RETRY >= deadline => {
                tracing::debug!(%address, %error, "the rank does not listen");
                return Err(LinkError::Timeout { doing });
            }
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// Sends a frame of the handshake.
fn greet(socket: &mut Secure, kind: Kind, nonce: u64, body: &[u8], deadline: Instant) -> Result<(), LinkError> {
    let body = &body[..body.len().min(LIMIT)];
    let header = Header { kind, precision: Precision::F32, nonce, sequence: 0, metadata: body.len(), values: 0 };
    socket.write_all(&[header.write().as_slice(), body].concat(), deadline, "shaking hands")
}

/// Receives a frame of the handshake, and not a byte of what follows it.
fn hear(socket: &mut Secure, expected: &'static str, deadline: Instant) -> Result<(Header, Vec<u8>), LinkError> {
    let mut bytes = [0; HEADER];
    read_exact(socket, &mut bytes, deadline)?;
    let header = Header::read(&bytes, expected)?;
    header.check_lengths(LIMIT, 0)?;
    let mut body = vec![0; header.metadata];
    read_exact(socket, &mut body, deadline)?;
    Ok((header, body))
}

fn read_exact(socket: &mut Secure, buffer: &mut [u8], deadline: Instant) -> Result<(), LinkError> {
    let mut received = 0;
    while received < buffer.len() {
        match socket.read(&mut buffer[received..], deadline, "shaking hands")? {
            0 if received == 0 => return Err(LinkError::Closed),
            0 => return Err(ProtocolError::Truncated { received }.into()),
            got => received += got,
        }
    }
    Ok(())
}
