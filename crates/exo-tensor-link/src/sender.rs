//! The half of a link that sends.

use crate::closer::Closer;
use crate::error::LinkError;
use crate::frame::{Agreed, Header, Kind};
use crate::handshake::Precision;
use crate::secure::Secure;
use exo_identity::Facts;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::time::Instant;

const SENDING: &str = "sending a frame";

/// Sends frames. Dropped, the peer sees the link closed behind the last.
pub struct LinkSender {
    socket: Secure,
    agreed: Agreed,
    /// The frame that leaves; has room for the longest.
    out: Vec<u8>,
    sent: u64,
    halves: Vec<f16>,
    /// Part of a frame left and the rest never will.
    over: bool,
}

impl LinkSender {
    pub(crate) fn new(socket: Secure, agreed: Agreed) -> Self {
        let out = Vec::with_capacity(agreed.longest_frame());
        Self { socket, agreed, out, sent: 0, halves: Vec::new(), over: false }
    }

    /// Sends one frame, whole. After an error but `TooLarge` the link is over, for part of the frame may have left.
    pub fn send(&mut self, metadata: &[u8], values: &[f32], deadline: Instant) -> Result<(), LinkError> {
        self.write_frame(metadata, values)?;
        let sent = self.socket.write_all(&self.out, deadline, SENDING);
        self.over = sent.is_err();
        sent
    }

    /// Takes one frame and sends as much of it as the network takes now; [`Self::advance`] sends the rest.
    pub fn post(&mut self, metadata: &[u8], values: &[f32]) -> Result<(), LinkError> {
        self.write_frame(metadata, values)?;
        let posted = self.socket.post(&self.out, SENDING);
        self.over = posted.is_err();
        posted?;
        self.advance().map(drop)
    }

    /// Sends of what was posted as much as the network takes now; true when all of it has left.
    pub fn advance(&mut self) -> Result<bool, LinkError> {
        self.check_open()?;
        let advanced = self.socket.advance(SENDING);
        self.over = advanced.is_err();
        advanced
    }

    pub(crate) fn readiness(&self) -> BorrowedFd<'_> {
        self.socket.readiness()
    }

    fn write_frame(&mut self, metadata: &[u8], values: &[f32]) -> Result<(), LinkError> {
        fits("bytes of metadata", metadata.len(), self.agreed.max_metadata)?;
        fits("values", values.len(), self.agreed.max_values)?;
        self.check_open()?;
        let Agreed { precision, nonce, .. } = self.agreed;
        let (kind, sequence) = (Kind::Data, self.sent);
        let header = Header { kind, precision, nonce, sequence, metadata: metadata.len(), values: values.len() };
        self.out.clear();
        self.out.extend(header.write());
        self.out.extend(metadata);
        write_values(precision, values, &mut self.halves, &mut self.out);
        self.sent += 1;
        Ok(())
    }

    /// Ends the calls of both halves from another thread.
    pub fn closer(&self) -> Closer {
        self.socket.closer()
    }

    /// Who the other side is, as its certificate said when the link was made.
    pub(crate) fn peer(&self) -> Result<Facts, LinkError> {
        self.socket.peer()
    }

    fn check_open(&self) -> Result<(), LinkError> {
        if self.over || self.socket.is_closed() { Err(self.socket.closed()) } else { Ok(()) }
    }
}

impl Drop for LinkSender {
    fn drop(&mut self) {
        self.socket.shut(Shutdown::Write);
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
