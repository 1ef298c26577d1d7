//! The handle, and the thread behind it.

use crate::{AppendError, OpenError, Page, ReadError, Recovered, RedbStorage, Storage, StorageError};
use exo_state::State;
use exo_types::{EventIndex, IndexedEvent};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// A snapshot is due after so many events: replaying them takes well under a second.
pub const SNAPSHOT_EVERY: u64 = 2000;

/// Events kept before a snapshot, so that a follower that is a little behind gets events and not the whole State.
const KEEP: u64 = 1000;

/// Operations that wait, at most; callers beyond wait in line.
const QUEUE: usize = 256;

/// Appends in one commit, at most.
const GROUP: usize = 128;

/// An acknowledgement: on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// End of the log.
    pub last: EventIndex,
    /// Whether it is time to call [`EventLog::save_snapshot`].
    pub snapshot_due: bool,
}

type Answer<T, E> = oneshot::Sender<Result<T, E>>;

enum Operation {
    Append(Vec<IndexedEvent>, Answer<Appended, AppendError>),
    Read(EventIndex, usize, Answer<Page, ReadError>),
    Snapshot(Arc<State>, Answer<(), StorageError>),
}

/// An open log. Dropping it waits until what is under way is on the disk.
#[derive(Debug)]
pub struct EventLog {
    operations: Option<mpsc::Sender<Operation>>,
    thread: Option<JoinHandle<()>>,
}

impl EventLog {
    /// Opens the log in a directory, or begins one there. Blocks while it reads.
    pub fn open(directory: &Path) -> Result<(Self, Recovered), OpenError> {
        Self::over(RedbStorage::new(directory))
    }

    /// The same over any storage.
    pub fn over(mut storage: impl Storage) -> Result<(Self, Recovered), OpenError> {
        let recovered = storage.recover()?;
        let last = recovered.state.last_event_applied_idx;
        let (operations, queue) = mpsc::channel(QUEUE);
        let writer = Writer { storage, last, since_snapshot: recovered.replayed };
        let thread = std::thread::Builder::new().name("exo-log".to_owned());
        let thread = thread.spawn(move || writer.run(queue)).map_err(|error| OpenError::Unavailable {
            path: "exo-log".into(),
            reason: format!("no thread can be started: {error}"),
        })?;
        Ok((Self { operations: Some(operations), thread: Some(thread) }, recovered))
    }

    /// Appends events that follow the last one, all or none. Returns when they are on the disk.
    ///
    /// Dropping the future does not take them back.
    pub async fn append(&self, events: Vec<IndexedEvent>) -> Result<Appended, AppendError> {
        let (answer, reply) = oneshot::channel();
        self.enqueue(Operation::Append(events, answer)).await.ok_or(AppendError::Closed)?;
        reply.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Events from `since` on, at most `limit`, possibly fewer.
    pub async fn read(&self, since: EventIndex, limit: usize) -> Result<Page, ReadError> {
        let (answer, reply) = oneshot::channel();
        self.enqueue(Operation::Read(since, limit, answer)).await.ok_or(ReadError::Closed)?;
        reply.await.unwrap_or(Err(ReadError::Closed))
    }

    /// Keeps a State of this log, and drops the events that it makes superfluous.
    pub async fn save_snapshot(&self, state: Arc<State>) -> Result<(), StorageError> {
        let closed = || StorageError { path: "exo-log".into(), action: "save a snapshot", reason: "closed".to_owned() };
        let (answer, reply) = oneshot::channel();
        self.enqueue(Operation::Snapshot(state, answer)).await.ok_or_else(closed)?;
        reply.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn enqueue(&self, operation: Operation) -> Option<()> {
        self.operations.as_ref()?.send(operation).await.ok()
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        drop(self.operations.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told by the panic itself.
            let _ = thread.join();
        }
    }
}

struct Writer<S> {
    storage: S,
    last: EventIndex,
    since_snapshot: u64,
}

struct Pending {
    events: Vec<IndexedEvent>,
    answer: Answer<Appended, AppendError>,
}

impl<S: Storage> Writer<S> {
    fn run(mut self, mut queue: mpsc::Receiver<Operation>) {
        while let Some(first) = queue.blocking_recv() {
            let mut next = Some(first);
            while let Some(operation) = next.take() {
                next = self.carry_out(operation, &mut queue);
            }
        }
    }

    /// Carries one operation out, and with an append all that wait behind it. Returns what waits and is none.
    fn carry_out(&mut self, operation: Operation, queue: &mut mpsc::Receiver<Operation>) -> Option<Operation> {
        match operation {
            Operation::Append(events, answer) => {
                let (group, other) = take_group(Pending { events, answer }, queue);
                self.commit(group);
                other
            }
            Operation::Read(since, limit, answer) => {
                // Whoever asked may have left.
                let _ = answer.send(self.storage.read(since, limit));
                None
            }
            Operation::Snapshot(state, answer) => {
                let _ = answer.send(self.save_snapshot(&state));
                None
            }
        }
    }

    fn commit(&mut self, group: Vec<Pending>) {
        let mut last = self.last;
        let mut events = Vec::new();
        let mut accepted = Vec::new();
        for pending in group {
            match follows(last, &pending.events) {
                Ok(end) => {
                    last = end;
                    events.extend(pending.events);
                    accepted.push((end, pending.answer));
                }
                Err(error) => drop(pending.answer.send(Err(error))),
            }
        }
        if accepted.is_empty() {
            return;
        }
        let written = self.storage.append(&events);
        if written.is_ok() {
            self.last = last;
            self.since_snapshot += events.len() as u64;
        }
        let snapshot_due = self.since_snapshot >= SNAPSHOT_EVERY;
        for (last, answer) in accepted {
            let result = written.clone().map(|()| Appended { last, snapshot_due });
            drop(answer.send(result.map_err(AppendError::from)));
        }
    }

    fn save_snapshot(&mut self, state: &State) -> Result<(), StorageError> {
        let keep_from = EventIndex(state.last_event_applied_idx.0.saturating_sub(KEEP));
        self.storage.save_snapshot(state, keep_from)?;
        self.since_snapshot = 0;
        Ok(())
    }
}

fn take_group(first: Pending, queue: &mut mpsc::Receiver<Operation>) -> (Vec<Pending>, Option<Operation>) {
    let mut group = vec![first];
    while group.len() < GROUP {
        match queue.try_recv() {
            Ok(Operation::Append(events, answer)) => group.push(Pending { events, answer }),
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// The end of the log with these events, if they follow.
fn follows(last: EventIndex, events: &[IndexedEvent]) -> Result<EventIndex, AppendError> {
    events.iter().try_fold(last, |last, event| {
        let expected = last.next();
        if event.idx == expected { Ok(expected) } else { Err(AppendError::NotNext { expected, got: event.idx }) }
    })
}
