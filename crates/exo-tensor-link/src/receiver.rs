//! The half of a link that receives.

use crate::closer::Closer;
use crate::error::{LinkError, ProtocolError};
use crate::frame::{Agreed, HEADER, Header};
use crate::handshake::Precision;
use crate::secure::Secure;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::net::Shutdown;
use std::time::Instant;

/// Receives frames. Dropped, the peer may send on in vain until the other half is dropped as well.
pub struct LinkReceiver {
    socket: Secure,
    agreed: Agreed,
    /// What arrived and was not taken: `start..end`. As long as the longest frame.
    arrived: Vec<u8>,
    start: usize,
    end: usize,
    received: u64,
    halves: Vec<f16>,
    /// What came cannot be followed by a frame.
    over: bool,
}

impl LinkReceiver {
    pub(crate) fn new(socket: Secure, agreed: Agreed) -> Self {
        let arrived = vec![0; agreed.longest_frame()];
        Self { socket, agreed, arrived, start: 0, end: 0, received: 0, halves: Vec::new(), over: false }
    }

    /// Receives the next frame into the vectors, in place of what they hold, and returns its number, from 0. After
    /// [`LinkError::Timeout`] the next call goes on; after any other error the link is over.
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

    /// Ends the calls of both halves from another thread.
    pub fn closer(&self) -> Closer {
        self.socket.closer()
    }

    fn check_open(&self) -> Result<(), LinkError> {
        if self.over || self.socket.is_closed() { Err(self.socket.closed()) } else { Ok(()) }
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
        if received == 0 || self.socket.is_closed() {
            self.socket.closed()
        } else {
            ProtocolError::Truncated { received }.into()
        }
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        self.socket.shut(Shutdown::Read);
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
