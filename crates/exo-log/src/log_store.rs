//! The records of the log, as openraft's log storage.

use crate::disk::{Executor, NoExecutor};
use crate::raft_types::{Entry, LogId, RaftStorageError, RaftTypes, Vote, io_error};
use crate::store::{Loaded, Store};
use crate::{OpenError, StorageError};
use exo_ambient::{Bug, planted};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, RaftLogReader};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of records that are kept decoded: what followers that keep up are sent.
const CACHE_BYTES: usize = 16 << 20;

/// Bytes of records of one message to a follower, about; one record is sent in any case.
const MESSAGE_BYTES: usize = 1 << 20;

/// Records, and their bytes, that are kept behind a snapshot.
const KEPT_RECORDS: usize = 1000;
const KEPT_BYTES: usize = 2 << 20;

/// The bytes that a record without events counts.
const SMALL_RECORD: usize = 128;

/// A way to the records. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    executor: Arc<Executor>,
    view: Arc<Mutex<View>>,
}

/// What is known without the disk.
#[derive(Debug, Default)]
struct View {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    committed: Option<LogId>,
    cache: BTreeMap<u64, Entry>,
    cached_bytes: usize,
    /// The largest number of a batch of this log that is on its disk.
    flushed_batch: u64,
    failure: Option<StorageError>,
}

impl LogStore {
    pub(crate) fn new(executor: Arc<Executor>, loaded: &Loaded) -> Self {
        let view = View {
            vote: loaded.vote,
            purged: loaded.purged,
            last: loaded.last(),
            committed: loaded.committed,
            ..View::default()
        };
        Self { executor, view: Arc::new(Mutex::new(view)) }
    }

    /// Begins a session in an empty log.
    pub(crate) fn begin(&self, at: LogId) {
        let mut view = self.view();
        view.purged = Some(at);
        view.last = Some(at);
        view.committed = Some(at);
    }

    /// Opens the file again, and takes back what was not written when the disk failed.
    pub(crate) async fn reopen(&self) -> Result<(), OpenError> {
        let (kept, committed) = {
            let view = self.view();
            (view.last.map_or(0, |last| last.index + 1), view.committed)
        };
        let unavailable = |path: String, reason: String| OpenError::Unavailable { path, reason };
        let reopened = self.executor.run(move |store| {
            let loaded = store.reopen()?;
            if loaded.last().is_some_and(|last| last.index >= kept) {
                let cut = store.truncate(kept, committed);
                cut.map_err(|error| unavailable(error.path, error.reason))?;
            }
            Ok(loaded.vote)
        });
        let stopped = |error: NoExecutor| unavailable("log".to_owned(), error.to_string());
        let vote = reopened.await.map_err(stopped)??;
        let mut view = self.view();
        // A vote whose writing failed may be there after all; then it is cast.
        view.vote = view.vote.max_by_term(vote);
        view.failure = None;
        Ok(())
    }

    /// Why the disk stopped, if it did.
    pub(crate) fn failure(&self) -> Option<StorageError> {
        self.view().failure.clone()
    }

    /// Whether that batch of this log reached the disk.
    pub(crate) fn has_batch(&self, number: u64) -> bool {
        self.view().flushed_batch >= number
    }

    /// The position up to which records can be dropped when everything up to `snapshot` is in a snapshot: what a
    /// follower that is a little behind needs is kept.
    pub(crate) fn droppable(&self, snapshot: u64) -> u64 {
        let view = self.view();
        let mut bytes = 0;
        let kept = view.cache.range(..=snapshot).rev().take(KEPT_RECORDS).take_while(|(_, entry)| {
            bytes += size(entry);
            bytes <= KEPT_BYTES
        });
        kept.last().map_or(snapshot, |(index, _)| index.saturating_sub(1))
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.view().last
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.view().committed
    }

    /// Every record that is on the disk.
    pub(crate) async fn all(&self) -> Result<Vec<Entry>, StorageError> {
        let read = self.executor.run(|store| store.read_entries(0..u64::MAX)).await;
        read.unwrap_or_else(|error| Err(out_of_reach(error)))
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, RaftStorageError> {
        let result = self.executor.run(work).await.unwrap_or_else(|error| Err(out_of_reach(error)));
        result.map_err(|error| {
            let raft_error = io_error(&error);
            self.view().failure = Some(error);
            raft_error
        })
    }

    async fn entries(&self, from: u64, to: u64) -> Result<Vec<Entry>, RaftStorageError> {
        if let Some(entries) = self.view().cached(from, to) {
            return Ok(entries);
        }
        self.write(move |store| store.read_entries(from..to)).await
    }
}

fn out_of_reach(error: NoExecutor) -> StorageError {
    StorageError { path: "log".to_owned(), action: "reach the disk", reason: error.to_string() }
}

/// Votes of one term and different candidates have no order; the one that was there first stays.
trait MaxByTerm {
    fn max_by_term(self, other: Self) -> Self;
}

impl MaxByTerm for Option<Vote> {
    fn max_by_term(self, other: Self) -> Self {
        if other.partial_cmp(&self) == Some(std::cmp::Ordering::Greater) { other } else { self }
    }
}

impl View {
    fn cached(&self, from: u64, to: u64) -> Option<Vec<Entry>> {
        if from >= to {
            return Some(Vec::new());
        }
        let entries: Vec<Entry> = self.cache.range(from..to).map(|(_, entry)| entry.clone()).collect();
        let first_is_there = entries.first().is_some_and(|entry| entry.log_id.index == from);
        // The cache is the end of the log without gaps: what it lacks behind its end, the log lacks too.
        first_is_there.then_some(entries)
    }

    fn keep(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if let EntryPayload::Normal(batch) = &entry.payload {
                self.flushed_batch = self.flushed_batch.max(batch.number);
            }
            self.last = Some(entry.log_id);
            self.cached_bytes += size(&entry);
            self.cache.insert(entry.log_id.index, entry);
        }
        while self.cached_bytes > CACHE_BYTES && self.cache.len() > 1 {
            let Some((_, entry)) = self.cache.pop_first() else { return };
            self.cached_bytes -= size(&entry);
        }
    }

    fn forget(&mut self, gone: impl Fn(u64) -> bool) {
        self.cache.retain(|index, _| !gone(*index));
        self.cached_bytes = self.cache.values().map(size).sum();
    }
}

fn size(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(batch) => SMALL_RECORD + batch.size(),
        EntryPayload::Blank | EntryPayload::Membership(_) => SMALL_RECORD,
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<RaftTypes> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, RaftStorageError> {
        let (from, to) = bounds(&range);
        self.entries(from, to).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, RaftStorageError> {
        let mut entries = self.entries(start, end).await?;
        let mut bytes = 0;
        let fits = |entry: &Entry| {
            bytes += size(entry);
            bytes <= MESSAGE_BYTES
        };
        let count = entries.iter().map(fits).take_while(|fits| *fits).count().max(1);
        entries.truncate(count);
        Ok(entries)
    }
}

impl RaftLogStorage<RaftTypes> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<RaftTypes>, RaftStorageError> {
        let view = self.view();
        Ok(LogState { last_purged_log_id: view.purged, last_log_id: view.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), RaftStorageError> {
        let vote = *vote;
        let committed = self.committed();
        if !planted(Bug::ForgetVote) {
            self.write(move |store| store.save_vote(vote, committed)).await?;
        }
        self.view().vote = Some(vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, RaftStorageError> {
        Ok(self.view().vote)
    }

    /// Goes to the disk with the next record: nothing depends on it, it only saves a restarted log from waiting.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), RaftStorageError> {
        self.view().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, RaftStorageError> {
        Ok(self.view().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<RaftTypes>) -> Result<(), RaftStorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let committed = self.committed();
        let entries = self.write(move |store| store.append(&entries, committed).map(|()| entries)).await?;
        self.view().keep(entries);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), RaftStorageError> {
        let (from, committed) = (log_id.index, self.committed());
        let before = match from.checked_sub(1) {
            Some(before) if Some(before) != self.view().purged.map(|purged| purged.index) => {
                self.entries(before, from).await?.first().map(|entry| entry.log_id)
            }
            _ => None,
        };
        self.write(move |store| store.truncate(from, committed)).await?;
        let mut view = self.view();
        view.forget(|index| index >= from);
        view.last = before.or(view.purged);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), RaftStorageError> {
        let committed = self.committed();
        self.write(move |store| store.purge(log_id, committed)).await?;
        let mut view = self.view();
        view.forget(|index| index <= log_id.index);
        view.purged = Some(log_id);
        view.last = view.last.max(Some(log_id));
        Ok(())
    }
}
