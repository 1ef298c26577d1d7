//! Everything that can happen to a runner, in one queue.

use crate::credentials::Credentials;
use crate::progress::Progress;
use crate::step_bytes::Step;
use exo_runner_host::{HostMessage, HostReader, HostWriter};
use exo_tensor_link::{Link, LinkSender};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What may wait; more is not read from the worker, which is told that the runner does not keep up.
const CAPACITY: usize = 256;

/// The closed list of causes.
pub(crate) enum Cause {
    /// The worker said something.
    Host(HostMessage),
    /// A link of an incarnation told something.
    Link(u64, LinkCause),
}

/// What links tell.
pub(crate) enum LinkCause {
    /// The rank that steps come from is connected.
    Previous,
    /// A rank that steps go to is connected.
    Next(u32, Box<LinkSender>),
    /// A rank that shares this one's layers is connected.
    Group(u32, Box<Link>),
    /// A step came; on every rank but the first.
    Step(Step, Vec<f32>),
    /// A link broke, or could not be made.
    Broken(String),
}

/// Where causes come in.
pub(crate) type Inbox = SyncSender<Cause>;

/// Starts the thread that listens to the worker. When the worker is gone, `on_host_gone` ends the process, whatever
/// the other threads are at.
pub(crate) fn open(
    reader: HostReader,
    writer: HostWriter,
    progress: Progress,
    credentials: Credentials,
    on_host_gone: impl FnOnce() + Send + 'static,
) -> io::Result<(Inbox, Receiver<Cause>)> {
    let (inbox, causes) = sync_channel(CAPACITY);
    let to_runner = inbox.clone();
    let listen = move || {
        listen(reader, &writer, &progress, &credentials, &to_runner);
        on_host_gone();
    };
    thread::Builder::new().name("host".to_owned()).spawn(listen)?;
    Ok((inbox, causes))
}

fn listen(mut reader: HostReader, writer: &HostWriter, progress: &Progress, credentials: &Credentials, inbox: &Inbox) {
    loop {
        let heard = match reader.read() {
            Ok(Some(HostMessage::Ping)) => writer.write(&progress.message()).is_ok(),
            Ok(Some(HostMessage::Identity(told))) => {
                if let Err(error) = credentials.take(&told) {
                    tracing::error!(%error, "the worker's identity cannot be used for links");
                }
                true
            }
            Ok(Some(message)) => inbox.send(Cause::Host(message)).is_ok(),
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, "the worker cannot be understood");
                false
            }
        };
        if !heard {
            return;
        }
    }
}
