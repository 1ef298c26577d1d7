//! The thread that forks and reaps.
//!
//! The kernel ties a child's life to the thread that forked it, not to the process. Threads of an async runtime come
//! and go, so one thread that lives as long as the host does all the forking; it also reaps what was dropped.

use crate::confine::{Confinement, Limits, confine};
use crate::process::kill_group;
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often the dying are looked at, while there are any.
const REAP_PERIOD: Duration = Duration::from_millis(10);

enum Order {
    Spawn(Box<Command>, Limits, Option<Confinement>, oneshot::Sender<io::Result<Child>>),
    Bury(Child),
}

/// A handle to the thread; the thread ends after the last handle and the last child.
#[derive(Clone)]
pub(crate) struct Keeper(SyncSender<Order>);

impl Keeper {
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, inbox) = sync_channel(64);
        thread::Builder::new().name("runner-keeper".to_owned()).spawn(move || keep(&inbox))?;
        Ok(Self(orders))
    }

    /// Forks on the keeper's thread.
    pub(crate) async fn spawn(
        &self,
        command: Command,
        limits: Limits,
        confinement: Option<Confinement>,
    ) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts runners has ended");
        self.0.try_send(Order::Spawn(Box::new(command), limits, confinement, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Kills and reaps, here or there.
    pub(crate) fn bury(&self, mut child: Child) {
        kill_group(&mut child);
        if !matches!(child.try_wait(), Ok(Some(_))) {
            // The channel is bounded, the thread only waits for children: sending never waits for long.
            let _ = self.0.send(Order::Bury(child));
        }
    }
}

fn keep(inbox: &Receiver<Order>) {
    let mut dying: Vec<Child> = Vec::new();
    let mut closed = false;
    while !closed || !dying.is_empty() {
        match next(inbox, !dying.is_empty(), closed) {
            Ok(Order::Spawn(mut command, limits, confinement, reply)) => {
                let child = confine(&mut command, limits, confinement.as_ref()).and_then(|()| command.spawn());
                hand_over(child, reply, &mut dying);
            }
            Ok(Order::Bury(child)) => dying.push(child),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => closed = true,
        }
        dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

fn next(inbox: &Receiver<Order>, poll: bool, closed: bool) -> Result<Order, RecvTimeoutError> {
    if closed {
        thread::sleep(REAP_PERIOD);
        return Err(RecvTimeoutError::Timeout);
    }
    if poll { inbox.recv_timeout(REAP_PERIOD) } else { inbox.recv().map_err(|_| RecvTimeoutError::Disconnected) }
}

fn hand_over(child: io::Result<Child>, reply: oneshot::Sender<io::Result<Child>>, dying: &mut Vec<Child>) {
    if let Err(Ok(mut orphan)) = reply.send(child) {
        kill_group(&mut orphan);
        dying.push(orphan);
    }
}
