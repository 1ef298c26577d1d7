//! What leaves by a link: what zenoh says, questions and answers, what the driver says, and beats.

use super::super::calls::Message;
use super::super::driver::Event;
use super::super::frame::{self, BODY, FrameError, HEADER, Kind, header};
use super::super::hello::write_peers;
use super::super::line::Word;
use super::super::pulse::{DOUBT, Due, Ear, LATELY, Pulse};
use exo_types::NodeId;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// For the last words.
const FAREWELL: Duration = Duration::from_millis(200);

/// One side of a link, as it speaks.
pub(super) struct Speaker<'a> {
    pub words: mpsc::Receiver<Word>,
    /// Questions and answers.
    pub calls: mpsc::Receiver<Message>,
    pub pulse: watch::Receiver<Pulse>,
    pub ear: &'a Ear,
    /// The peer's node, and who is told that it may be lost.
    pub node: NodeId,
    pub events: mpsc::Sender<Event>,
}

impl Speaker<'_> {
    /// Until one side ends. Says why.
    pub async fn run(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<String, FrameError> {
        let (mut buffer, mut frames) = (vec![0; HEADER + BODY], Vec::new());
        let mut spoke = Instant::now();
        // When the peer was last asked for a beat, and whether no answer makes doubt: not in doubt already.
        let (mut asked, mut waits) = (None, false);
        loop {
            let pulse = *self.pulse.borrow_and_update();
            tokio::select! {
                biased;
                word = self.words.recv() => match word {
                    Some(Word::Peers(peers)) => frame::write(&mut to, Kind::Peers, &write_peers(&peers)).await?,
                    Some(Word::Ask) if asked.is_some_and(|asked: Instant| asked.elapsed() < LATELY) => continue,
                    Some(Word::Ask) => (asked, waits) = (Some(beat(&mut to).await?), false),
                    Some(Word::Bye(reason)) => return Ok(say_goodbye(&mut to, reason).await),
                    None => return Ok("the bus is closed".to_owned()),
                },
                Ok(()) = self.pulse.changed() => continue,
                carried = next(&mut self.calls, &mut from, &mut buffer[HEADER..]) => match carried? {
                    Carried::Call(call) => self.speak(call, &mut frames, &mut to).await?,
                    Carried::Data(0) => return Ok("zenoh closed it".to_owned()),
                    Carried::Data(length) => {
                        buffer[..HEADER].copy_from_slice(&header(Kind::Data, length));
                        to.write_all(&buffer[..HEADER + length]).await?;
                        to.flush().await?;
                    }
                },
                due = pulse.due(spoke, self.ear) => {
                    let said = beat(&mut to).await?;
                    if due == Due::Silence {
                        (asked, waits) = (Some(said), true);
                    }
                }
                since = unanswered(asked.filter(|_| waits)) => {
                    waits = false;
                    if !self.ear.has_heard_since(since) {
                        // If the driver is too busy to hear it, the next beat makes doubt again.
                        let _lost = self.events.try_send(Event::Doubted(self.node.clone()));
                    }
                    continue;
                }
            }
            spoke = Instant::now();
        }
    }

    /// Writes a question or an answer, and with it those that wait behind it.
    async fn speak(
        &mut self,
        first: Message,
        frames: &mut Vec<u8>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), FrameError> {
        frames.clear();
        first.write(frames);
        while frames.len() < BODY
            && let Ok(call) = self.calls.try_recv()
        {
            call.write(frames);
        }
        to.write_all(frames).await?;
        to.flush().await?;
        // A large one is rare, and its room is not kept.
        frames.clear();
        frames.shrink_to(2 * BODY);
        Ok(())
    }
}

/// What a link is there for.
enum Carried {
    Call(Message),
    /// So many bytes of zenoh's.
    Data(usize),
}

/// Whichever comes first; neither keeps the other waiting. Cancelling it loses nothing.
async fn next(
    calls: &mut mpsc::Receiver<Message>,
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
) -> io::Result<Carried> {
    tokio::select! {
        Some(call) = calls.recv() => Ok(Carried::Call(call)),
        read = from.read(buffer) => read.map(Carried::Data),
    }
}

/// Says it, and when: what comes from then on may be the answer.
async fn beat(to: &mut (impl AsyncWrite + Unpin)) -> Result<Instant, FrameError> {
    let now = Instant::now();
    frame::write(to, Kind::Data, &[]).await?;
    Ok(now)
}

/// When the answer to what was asked then should have come.
async fn unanswered(asked: Option<Instant>) -> Instant {
    let Some(asked) = asked else { return std::future::pending().await };
    sleep_until(asked + DOUBT).await;
    asked
}

async fn say_goodbye(to: &mut (impl AsyncWrite + Unpin), reason: String) -> String {
    let said = timeout(FAREWELL, frame::write(to, Kind::Bye, reason.as_bytes())).await;
    tracing::trace!(said = said.is_ok(), "a link is closed");
    reason
}
