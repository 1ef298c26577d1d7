//! The half of a link that receives.

use crate::closer::Closer;
use crate::error::{LinkError, ProtocolError};
use crate::frame::Agreed;
use crate::frame_reader::FrameReader;
use crate::secure::Secure;
use std::net::Shutdown;
use std::time::Instant;

/// Receives frames. Dropped, the peer may send on in vain until the other half is dropped as well.
pub struct LinkReceiver {
    socket: Secure,
    frames: FrameReader,
    /// What came cannot be followed by a frame.
    over: bool,
}

impl LinkReceiver {
    pub(crate) fn new(socket: Secure, agreed: Agreed) -> Self {
        Self { socket, frames: FrameReader::of(agreed), over: false }
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
        let received = self.next_frame(metadata, values, deadline);
        received.inspect_err(|error| self.over = !matches!(error, LinkError::Timeout { .. }))
    }

    /// Ends the calls of both halves from another thread.
    pub fn closer(&self) -> Closer {
        self.socket.closer()
    }

    fn check_open(&self) -> Result<(), LinkError> {
        if self.over || self.socket.is_closed() { Err(self.socket.closed()) } else { Ok(()) }
    }

    /// Waits until a whole frame is there, and takes it; takes more bytes off the network if they are there.
    fn next_frame(
        &mut self,
        metadata: &mut Vec<u8>,
        values: &mut Vec<f32>,
        deadline: Instant,
    ) -> Result<u64, LinkError> {
        loop {
            if let Some(number) = self.frames.take_into(metadata, values)? {
                return Ok(number);
            }
            match self.socket.read(self.frames.room(), deadline, "receiving a frame")? {
                0 => return Err(self.ended()),
                got => self.frames.put(got),
            }
        }
    }

    fn ended(&self) -> LinkError {
        match self.frames.pending() {
            0 => self.socket.closed(),
            _ if self.socket.is_closed() => self.socket.closed(),
            received => ProtocolError::Truncated { received }.into(),
        }
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        self.socket.shut(Shutdown::Read);
    }
}
