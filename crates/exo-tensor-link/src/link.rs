//! One link over TCP.

use crate::closer::Closer;
use crate::error::{LinkError, ProtocolError};
use crate::frame::{Agreed, HEADER, Header, Kind};
use crate::handshake::{Handshake, LIMIT, Precision};
use crate::socket::Socket;
use crate::tensor_link::TensorLink;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two attempts to reach a rank that does not listen yet.
const RETRY: Duration = Duration::from_millis(20);

/// A link between two ranks, over TCP.
pub struct Link {
    socket: Socket,
    agreed: Agreed,
    /// The frame that leaves; as long as the longest.
    out: Vec<u8>,
    sent: u64,
    /// What arrived and was not taken: `start..end`. As long as the longest frame.
    arrived: Vec<u8>,
    start: usize,
    end: usize,
    received: u64,
    halves: Vec<f16>,
    /// Part of a frame left or came and the rest never will.
    over: bool,
}

impl Link {
    /// Calls a rank, again and again until it listens or the deadline passes.
    pub fn connect(address: SocketAddr, handshake: &Handshake, deadline: Instant) -> Result<Self, LinkError> {
        handshake.check()?;
        let mut socket = dial(address, deadline)?;
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
            Kind::Refusal => {
                Err(LinkError::HandshakeRefused { reason: String::from_utf8_lossy(&body).into_owned() })
            }
            Kind::Hello | Kind::Data => {
                Err(ProtocolError::Kind { found: 0, expected: "welcome or refusal" }.into())
            }
        }
    }

    /// The other side of [`Self::connect`], on a stream that was accepted.
    pub(crate) fn answer(mut socket: Socket, handshake: &Handshake, deadline: Instant) -> Result<Self, LinkError> {
        let (header, body) = hear(&mut socket, "hello", deadline)?;
        if header.kind != Kind::Hello {
            return Err(ProtocolError::Kind { found: 0, expected: "hello" }.into());
        }
        match handshake.agree(&Handshake::read(&body)?) {
            Ok(agreed) => {
                greet(&mut socket, Kind::Welcome, header.nonce, &handshake.write(), deadline)?;
                Ok(Self::new(socket, &agreed, header.nonce))
            }
            Err(reason) => {
                greet(&mut socket, Kind::Refusal, header.nonce, reason.as_bytes(), deadline)?;
                Err(LinkError::HandshakeRefused { reason })
            }
        }
    }

    fn new(socket: Socket, agreed: &Handshake, nonce: u64) -> Self {
        let agreed = Agreed {
            precision: agreed.precision,
            nonce,
            max_metadata: agreed.max_metadata as usize,
            max_values: agreed.max_values as usize,
        };
        let longest = HEADER + agreed.max_metadata + agreed.max_values * agreed.precision.width();
        Self {
            socket,
            agreed,
            out: Vec::with_capacity(longest),
            sent: 0,
            arrived: vec![0; longest],
            start: 0,
            end: 0,
            received: 0,
            halves: Vec::new(),
            over: false,
        }
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
        fits("bytes of metadata", metadata.len(), self.agreed.max_metadata)?;
        fits("values", values.len(), self.agreed.max_values)?;
        self.check_open()?;
        let Agreed { precision, nonce, .. } = self.agreed;
        let (metadata_length, values_length) = (metadata.len(), values.len());
        let header = Header {
            kind: Kind::Data,
            precision,
            nonce,
            sequence: self.sent,
            metadata: metadata_length,
            values: values_length,
        };
        self.out.clear();
        self.out.extend(header.write());
        self.out.extend(metadata);
        write_values(precision, values, &mut self.halves, &mut self.out);
        let sent = self.socket.write_all(&self.out, deadline, "sending a frame");
        self.over = sent.is_err();
        self.sent += 1;
        sent
    }

    /// See [`TensorLink::recv_into`].
    pub fn recv_into(
        &mut self,
        metadata: &mut Vec<u8>,
        values: &mut Vec<f32>,
        deadline: Instant,
    ) -> Result<u64, LinkError> {
        self.check_open()?;
        let received = self.next_frame(deadline);
        let header = received.inspect_err(|error| self.over = !matches!(error, LinkError::Timeout { .. }))?;
        let payload = &self.arrived[self.start + HEADER..][..header.payload()];
        let (blob, numbers) = payload.split_at(header.metadata);
        metadata.clear();
        metadata.extend_from_slice(blob);
        read_values(header.precision, numbers, &mut self.halves, values);
        self.start += HEADER + header.payload();
        self.received += 1;
        Ok(header.sequence)
    }

    /// Ends the calls of this link from another thread.
    pub fn closer(&self) -> Closer {
        self.socket.closer()
    }

    fn check_open(&self) -> Result<(), LinkError> {
        if self.over || self.socket.closer().is_closed() { Err(LinkError::Closed) } else { Ok(()) }
    }

    /// Waits until a whole frame, checked, stands at `start`.
    fn next_frame(&mut self, deadline: Instant) -> Result<Header, LinkError> {
        self.fill(HEADER, deadline)?;
        let mut bytes = [0; HEADER];
        bytes.copy_from_slice(&self.arrived[self.start..][..HEADER]);
        let header = Header::read(&bytes, "data")?;
        header.check(&self.agreed, self.received)?;
        self.fill(HEADER + header.payload(), deadline)?;
        Ok(header)
    }

    /// Waits until so many bytes stand at `start`; takes more if they are there.
    fn fill(&mut self, wanted: usize, deadline: Instant) -> Result<(), LinkError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start + wanted > self.arrived.len() {
            self.arrived.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < wanted {
            let got = self.socket.read(&mut self.arrived[self.end..], deadline, "receiving a frame")?;
            if got == 0 {
                return Err(self.ended());
            }
            self.end += got;
        }
        Ok(())
    }

    fn ended(&self) -> LinkError {
        let received = self.end - self.start;
        if received == 0 || self.socket.closer().is_closed() {
            LinkError::Closed
        } else {
            ProtocolError::Truncated { received }.into()
        }
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

    fn closer(&self) -> Closer {
        Link::closer(self)
    }
}

fn fits(what: &'static str, size: usize, limit: usize) -> Result<(), LinkError> {
    if size > limit { Err(LinkError::TooLarge { what, size, limit }) } else { Ok(()) }
}

fn write_values(precision: Precision, values: &[f32], halves: &mut Vec<f16>, out: &mut Vec<u8>) {
    match precision {
        Precision::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Precision::F16 => {
            halves.resize(values.len(), f16::ZERO);
            halves.convert_from_f32_slice(values);
            out.extend(halves.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
}

fn read_values(precision: Precision, bytes: &[u8], halves: &mut Vec<f16>, values: &mut Vec<f32>) {
    values.clear();
    match precision {
        Precision::F32 => {
            let (chunks, _) = bytes.as_chunks::<4>();
            values.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
        }
        Precision::F16 => {
            let (chunks, _) = bytes.as_chunks::<2>();
            halves.clear();
            halves.extend(chunks.iter().map(|chunk| f16::from_le_bytes(*chunk)));
            values.resize(halves.len(), 0.0);
            halves.convert_to_f32_slice(values);
        }
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
fn greet(socket: &mut Socket, kind: Kind, nonce: u64, body: &[u8], deadline: Instant) -> Result<(), LinkError> {
    let body = &body[..body.len().min(LIMIT)];
    let header =
        Header { kind, precision: Precision::F32, nonce, sequence: 0, metadata: body.len(), values: 0 };
    socket.write_all(&[header.write().as_slice(), body].concat(), deadline, "shaking hands")
}

/// Receives a frame of the handshake, and not a byte of what follows it.
fn hear(socket: &mut Socket, expected: &'static str, deadline: Instant) -> Result<(Header, Vec<u8>), LinkError> {
    let mut bytes = [0; HEADER];
    read_exact(socket, &mut bytes, deadline)?;
    let header = Header::read(&bytes, expected)?;
    header.check_lengths(LIMIT, 0)?;
    let mut body = vec![0; header.metadata];
    read_exact(socket, &mut body, deadline)?;
    Ok((header, body))
}

fn read_exact(socket: &mut Socket, buffer: &mut [u8], deadline: Instant) -> Result<(), LinkError> {
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
