//! What comes by a link: bytes for zenoh, questions and answers, where others are, and beats.

use super::super::calls::{Assembler, Clerk};
use super::super::driver::Event;
use super::super::frame::{self, BODY, FrameError, HEADER, Kind, read_header};
use super::super::hello::read_peers;
use super::super::pulse::{Ear, Pulse};
use crate::zenoh::seal::SealError;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

/// One side of a link, as it listens.
pub(super) struct Listener<'a> {
    pub pulse: watch::Receiver<Pulse>,
    pub ear: &'a Ear,
    pub events: mpsc::Sender<Event>,
    /// Takes questions and answers, and who counts those that name somebody else.
    pub clerk: Clerk,
    pub refuse: &'a (dyn Fn(&SealError) + Sync),
}

impl Listener<'_> {
    /// Until one side ends. Says why, in the peer's words if it had any.
    pub async fn run(mut self, from: impl AsyncRead + Unpin, mut to: DuplexStream) -> Result<String, FrameError> {
        let mut from = BufReader::with_capacity(BODY, from);
        let mut call = Assembler::default();
        loop {
            let mut head = [0; HEADER];
            if self.heard(from.fill_buf()).await?.is_empty() {
                return Ok("the peer closed it".to_owned());
            }
            self.heard(from.read_exact(&mut head)).await?;
            self.ear.on_heard(Instant::now());
            match read_header(head)? {
                (Kind::Data, 0) => self.ear.on_beat(),
                (Kind::Data, length) => self.pass_on(&mut from, &mut to, length).await?,
                (Kind::Peers, length) => {
                    let peers = read_peers(&self.heard(frame::body(&mut from, length)).await?)?;
                    if self.events.send(Event::Heard(peers)).await.is_err() {
                        return Ok("the bus is closed".to_owned());
                    }
                }
                (Kind::CallPart, length) => call.part(&self.heard(frame::body(&mut from, length)).await?)?,
                (Kind::Call, length) => {
                    let message = call.last(self.heard(frame::body(&mut from, length)).await?)?;
                    self.clerk.on_message(message).unwrap_or_else(|error| (self.refuse)(&error));
                }
                (Kind::Bye, length) => {
                    let reason = self.heard(frame::body(&mut from, length)).await?;
                    return Ok(format!("the peer closed it: {}", String::from_utf8_lossy(&reason)));
                }
                (found, _) => return Err(FrameError::Order { found, expected: Kind::Data }),
            }
        }
    }

    /// What the peer sends, if it sends anything in time. A peer that does not hangs. With another pulse it has the whole
    /// time again: it is asked from then on.
    async fn heard<T, E: Into<FrameError>>(
        &mut self,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<T, FrameError> {
        tokio::pin!(read);
        loop {
            let patience = self.pulse.borrow_and_update().patience();
            tokio::select! {
                biased;
                read = &mut read => return read.map_err(Into::into),
                Ok(()) = self.pulse.changed() => {}
                () = sleep(patience) => return Err(FrameError::Hung(patience)),
            }
        }
    }

    /// Without a copy of its own.
    async fn pass_on(
        &mut self,
        from: &mut BufReader<impl AsyncRead + Unpin>,
        to: &mut DuplexStream,
        mut length: usize,
    ) -> Result<(), FrameError> {
        while length > 0 {
            let available = self.heard(from.fill_buf()).await?;
            if available.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let part = available.len().min(length);
            to.write_all(&available[..part]).await?;
            from.consume(part);
            length -= part;
        }
        Ok(())
    }
}
