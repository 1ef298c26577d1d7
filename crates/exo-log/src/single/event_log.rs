//! The handle.

use super::{AppendError, OpenError, Page, ReadError, Recovered, RedbStorage, Storage, StorageError};
use exo_state::State;
use exo_types::{EventIndex, IndexedEvent};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, oneshot};

/// A snapshot is due after so many events: replaying them takes well under a second.
pub const SNAPSHOT_EVERY: u64 = 2000;

/// Events kept before a snapshot, so that a follower that is a little behind gets events and not the whole State.
const KEEP: u64 = 1000;

/// Appends that wait, at most; callers beyond wait in line.
const QUEUE: usize = 256;

/// An acknowledgement: on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// End of the log.
    pub last: EventIndex,
    /// Whether it is time to call [`EventLog::save_snapshot`].
    pub snapshot_due: bool,
}

/// An open log. It is closed when it is dropped and what is under way is on the disk.
///
/// Everything that touches the disk runs on tokio's threads for blocking work, one at a time. Appends that wait for
/// their turn are written together by whichever of them gets it: one fsync for all.
pub struct EventLog {
    shared: Arc<Shared>,
    places: Semaphore,
}

struct Shared {
    queue: Mutex<Vec<Pending>>,
    writer: Mutex<Writer>,
}

struct Pending {
    events: Vec<IndexedEvent>,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

struct Writer {
    storage: Box<dyn Storage>,
    last: EventIndex,
    since_snapshot: u64,
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventLog")
    }
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
        let writer = Writer { storage: Box::new(storage), last, since_snapshot: recovered.replayed };
        let shared = Arc::new(Shared { queue: Mutex::default(), writer: Mutex::new(writer) });
        Ok((Self { shared, places: Semaphore::new(QUEUE) }, recovered))
    }

    /// Appends events that follow the last one, all or none. Returns when they are on the disk.
    ///
    /// Dropping the future does not take them back.
    pub async fn append(&self, events: Vec<IndexedEvent>) -> Result<Appended, AppendError> {
        let _place = self.places.acquire().await.map_err(|_| AppendError::Closed)?;
        let (answer, reply) = oneshot::channel();
        lock(&self.shared.queue).push(Pending { events, answer });
        let shared = self.shared.clone();
        let turn = tokio::task::spawn_blocking(move || shared.commit_waiting());
        turn.await.map_err(|_| AppendError::Closed)?;
        reply.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Events from `since` on, at most `limit`, possibly fewer.
    pub async fn read(&self, since: EventIndex, limit: usize) -> Result<Page, ReadError> {
        let shared = self.shared.clone();
        let read = tokio::task::spawn_blocking(move || lock(&shared.writer).storage.read(since, limit));
        read.await.unwrap_or(Err(ReadError::Closed))
    }

    /// Keeps a State of this log, and drops the events that it makes superfluous.
    pub async fn save_snapshot(&self, state: Arc<State>) -> Result<(), StorageError> {
        let shared = self.shared.clone();
        let saved = tokio::task::spawn_blocking(move || lock(&shared.writer).save_snapshot(&state));
        let closed = |_| StorageError { path: "log".into(), action: "save a snapshot", reason: "closed".to_owned() };
        saved.await.map_err(closed)?
    }
}

/// A panic of the storage was told by the panic; the storage itself is as a failed write leaves it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn commit_waiting(&self) {
        let mut writer = lock(&self.writer);
        // Taken after the writer: whoever waited for it is in the queue by now.
        let group = std::mem::take(&mut *lock(&self.queue));
        writer.commit(group);
    }
}

impl Writer {
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

/// The end of the log with these events, if they follow.
fn follows(last: EventIndex, events: &[IndexedEvent]) -> Result<EventIndex, AppendError> {
    events.iter().try_fold(last, |last, event| {
        let expected = last.next();
        if event.idx == expected { Ok(expected) } else { Err(AppendError::NotNext { expected, got: event.idx }) }
    })
}
