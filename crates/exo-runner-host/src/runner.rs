//! A running child, seen from its host.

use crate::frame::{self, FrameError};
use crate::lines::{LastWords, read_lines};
use crate::process::{Process, code_and_signal};
use crate::protocol::{HostMessage, RunnerMessage};
use crate::start::Child;
use exo_identity::Identity;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// A child that closed its socket has so long to end by itself; what it printed before it ended is read for as long.
const GRACE: Duration = Duration::from_secs(2);

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitReport {
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Set if the host ended it because of what it sent.
    pub fault: Option<String>,
    /// The last lines that it printed.
    pub last_words: Vec<String>,
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal, &self.fault) {
            (_, _, Some(fault)) => write!(f, "ended by the worker: {fault}"),
            (_, Some(signal), _) => write!(f, "ended by signal {signal}"),
            (Some(code), _, _) => write!(f, "ended with exit code {code}"),
            (None, None, None) => f.write_str("ended"),
        }
    }
}

/// What comes from a child.
#[derive(Debug, Clone, PartialEq)]
pub enum RunnerEvent {
    /// It said something.
    Message(RunnerMessage),
    /// It is no more; the last event.
    Exited(ExitReport),
}

/// Why a message was not handed to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// It does not read.
    #[error("the runner has not read its last messages")]
    Full,
    /// It is no more.
    #[error("the runner has ended")]
    Ended,
}

/// The one handle of a child: dropping it kills the child.
pub struct Runner {
    process: Arc<dyn Child>,
    outbox: mpsc::Sender<HostMessage>,
}

impl Runner {
    /// The handle of a child that takes its messages from the other end of `outbox`.
    pub fn new(process: Arc<dyn Child>, outbox: mpsc::Sender<HostMessage>) -> Self {
        Self { process, outbox }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Hands over a message without waiting. Fails when the child has not read the ones before, so that a hung child
    /// never holds up its host.
    pub fn send(&self, message: HostMessage) -> Result<(), SendError> {
        self.outbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Ended,
        })
    }

    /// Kills it with all that it started; `Exited` follows.
    pub fn kill(&self) {
        self.process.kill();
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.process.kill();
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runner({})", self.pid())
    }
}

/// What a child tells, in order. The child waits when this is not read.
#[derive(Debug)]
pub struct RunnerEvents(mpsc::Receiver<RunnerEvent>);

impl RunnerEvents {
    /// What comes through that channel.
    pub fn new(events: mpsc::Receiver<RunnerEvent>) -> Self {
        Self(events)
    }

    /// The next event; none after `Exited`.
    pub async fn next(&mut self) -> Option<RunnerEvent> {
        self.0.recv().await
    }
}

/// The pipes and sockets of a child, and what it is told first.
pub(crate) struct Ends {
    pub(crate) reader: OwnedReadHalf,
    pub(crate) writer: OwnedWriteHalf,
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
    /// What it is told of its node.
    pub(crate) identity: Option<Identity>,
}

/// Carries messages and lines for as long as the child lives, then reports its end.
pub(crate) async fn supervise(
    process: Arc<Process>,
    name: String,
    ends: Ends,
    outbox: mpsc::Receiver<HostMessage>,
    events: mpsc::Sender<RunnerEvent>,
) {
    let words = Mutex::new(LastWords::default());
    let on_line = |line: &str| {
        tracing::info!(target: "exo_runner", runner = %name, "{line}");
        words.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    };
    let reading = async {
        let fault = forward(ends.reader, &events).await.err();
        if fault.is_some() {
            process.kill();
        }
        fault.map(|error| error.to_string())
    };
    let mut listening =
        Box::pin(async { tokio::join!(reading, read_lines(ends.stdout, on_line), read_lines(ends.stderr, on_line)).0 });
    let living = async { tokio::join!(process.ended(), write(ends.writer, ends.identity, outbox, &process)).0 };
    tokio::pin!(living);
    let (status, fault) = tokio::select! {
        status = &mut living => (status, timeout(GRACE, &mut listening).await.ok().flatten()),
        fault = &mut listening => (end_within_grace(&process, living).await, fault),
    };
    drop(listening);
    let (code, signal) = code_and_signal(status);
    let last_words = words.into_inner().unwrap_or_else(PoisonError::into_inner).into_lines();
    let report = ExitReport { code, signal, fault, last_words };
    // Nobody who listens is nobody to tell.
    let _ = events.send(RunnerEvent::Exited(report)).await;
}

/// The child said that it has nothing more to say: it ends, or it is ended.
async fn end_within_grace<T>(process: &Process, mut living: std::pin::Pin<&mut impl Future<Output = T>>) -> T {
    if let Ok(status) = timeout(GRACE, living.as_mut()).await {
        return status;
    }
    process.kill();
    living.await
}

async fn forward(mut reader: OwnedReadHalf, events: &mpsc::Sender<RunnerEvent>) -> Result<(), FrameError> {
    while let Some(message) = frame::read(&mut reader).await? {
        if events.send(RunnerEvent::Message(message)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes until the handle is dropped or the child ends: the identity first, and whenever it changed.
async fn write(
    mut writer: OwnedWriteHalf,
    identity: Option<Identity>,
    mut outbox: mpsc::Receiver<HostMessage>,
    process: &Process,
) {
    let writing = async {
        let mut changes = identity.as_ref().map(Identity::changes);
        let mut next = identity.as_ref().map(|identity| HostMessage::Identity(identity.for_runner()));
        loop {
            let message = match next.take() {
                Some(message) => message,
                None => tokio::select! {
                    biased;
                    // Before an order that was given later: links are made with what is known when they are ordered.
                    () = changed(&mut changes) => {
                        next = identity.as_ref().map(|identity| HostMessage::Identity(identity.for_runner()));
                        continue;
                    }
                    message = outbox.recv() => match message {
                        Some(message) => message,
                        None => return,
                    },
                },
            };
            let frame = match frame::encode(&message) {
                Ok(frame) => frame,
                Err(error) => {
                    tracing::error!(message = message.name(), %error, "not sent to the runner");
                    continue;
                }
            };
            if writer.write_all(&frame).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = writing => {}
        _ = process.ended() => {}
    }
}

/// Never, if there is nothing to change.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
