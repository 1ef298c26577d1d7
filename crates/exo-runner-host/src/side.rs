//! The child's half of the conversation.

use crate::frame::{self, FrameError};
use crate::protocol::{HostMessage, RunnerMessage};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Why there is nobody to talk to.
#[derive(Debug, Error)]
pub enum SideError {
    /// Started by hand.
    #[error("standard input is no socket; exo-runner is started by exo-worker, never by hand")]
    NoSocket,
    /// The system refused a descriptor.
    #[error("cannot take the socket to the worker: {0}")]
    System(#[from] io::Error),
}

/// Both halves of the socket to the host.
#[derive(Debug)]
pub struct RunnerSide {
    /// For the one thread that listens.
    pub reader: HostReader,
    /// For every thread that has something to say.
    pub writer: HostWriter,
}

impl RunnerSide {
    /// Takes the socket that the host left at standard input.
    pub fn from_stdin() -> Result<Self, SideError> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        socket.peer_addr().map_err(|_| SideError::NoSocket)?;
        Ok(Self::from_socket(socket)?)
    }

    /// Speaks over any socket, for tests.
    pub fn from_socket(socket: UnixStream) -> io::Result<Self> {
        let writer = HostWriter(Arc::new(Mutex::new(socket.try_clone()?)));
        Ok(Self { reader: HostReader(socket), writer })
    }
}

/// Reads what the host says.
#[derive(Debug)]
pub struct HostReader(UnixStream);

impl HostReader {
    /// Waits for the next message; none when the host is gone.
    pub fn read(&mut self) -> Result<Option<HostMessage>, FrameError> {
        frame::read_message(&mut self.0)
    }
}

/// Says something to the host. Clones share the socket; messages never mix.
#[derive(Debug, Clone)]
pub struct HostWriter(Arc<Mutex<UnixStream>>);

impl HostWriter {
    /// Writes one message whole. Waits when the host does not read.
    pub fn write(&self, message: &RunnerMessage) -> Result<(), FrameError> {
        let frame = frame::encode(message)?;
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(socket.write_all(&frame)?)
    }
}
