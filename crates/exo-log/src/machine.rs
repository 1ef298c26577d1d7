//! The State, as openraft's state machine.

mod content;
mod ring;

pub(crate) use content::{Content, ContentError, decode as decode_content, encode as encode_content};

use crate::batch::{Batch, Outcome, PartOutcome};
use crate::counters::{Counting, add, count};
use crate::disk::Executor;
use crate::feed::{Feed, Feeds, Subscription};
use crate::members_file::MembersFile;
use crate::raft_types::{
    Entry, LogId, RaftStorageError, RaftTypes, Snapshot, SnapshotMeta, StoredMembership, index_of, io_error, members_of,
};
use crate::watchers::Watchers;
use crate::{Members, Page, ReadError};
use exo_state::{Mirror, State, apply};
use exo_types::{EventIndex, IndexedEvent, SessionId};
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, RaftSnapshotBuilder};
use ring::Ring;
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Bytes of applied records after which a snapshot is due.
const SNAPSHOT_BYTES: usize = 8 << 20;

/// How far everything is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Position in the log.
    pub(crate) index: u64,
    /// Event.
    pub(crate) event: EventIndex,
}

/// The State and what goes with it. A clone is the same; it survives openraft being started again.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fold: Mutex<Fold>,
    states: Watchers<Arc<State>>,
    progress: Watchers<Progress>,
    snapshot_due: Watchers<bool>,
    feeds: Feeds,
    executor: Arc<Executor>,
    counting: Arc<Counting>,
    snapshot_every: u64,
}

#[derive(Debug)]
struct Fold {
    session: Option<SessionId>,
    applied: Option<LogId>,
    membership: StoredMembership,
    mirror: Mirror,
    ring: Ring,
    /// Since the last snapshot.
    events: u64,
    bytes: usize,
}

/// Where a machine begins.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) session: Option<SessionId>,
    pub(crate) meta: SnapshotMeta,
    pub(crate) content: Content,
}

impl Machine {
    pub(crate) fn new(
        start: Start,
        executor: Arc<Executor>,
        counting: Arc<Counting>,
        kept_events: usize,
        snapshot_every: u64,
    ) -> Self {
        let fold = Fold::new(start, kept_events);
        let state = fold.mirror.front().clone();
        let progress = fold.progress();
        let snapshot_due = Watchers::new(fold.snapshot_due(snapshot_every));
        let shared = Shared {
            fold: Mutex::new(fold),
            states: Watchers::new(state),
            progress: Watchers::new(progress),
            snapshot_due,
            feeds: Feeds::default(),
            executor,
            counting,
            snapshot_every,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins a session in an empty log.
    pub(crate) fn begin(&self, start: Start, kept_events: usize) {
        let mut fold = self.fold();
        let to = start.content.state.last_event_applied_idx;
        *fold = Fold::new(start, kept_events);
        self.publish(&fold, Feed::Jumped { to });
    }

    pub(crate) fn set_session(&self, session: &SessionId) {
        self.fold().session = Some(session.clone());
    }

    pub(crate) fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.states.watch()
    }

    pub(crate) fn watch_progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.watch()
    }

    pub(crate) fn watch_snapshot_due(&self) -> watch::Receiver<bool> {
        self.shared.snapshot_due.watch()
    }

    pub(crate) fn progress(&self) -> Progress {
        self.shared.progress.latest()
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        self.shared.feeds.subscribe()
    }

    pub(crate) fn read(&self, since: EventIndex, limit: usize) -> Result<Page, ReadError> {
        self.fold().ring.read(since, limit)
    }

    pub(crate) fn members(&self) -> Members {
        members_of(self.fold().membership.membership())
    }

    /// Where another machine would go on from this one.
    pub(crate) fn as_start(&self) -> Start {
        let fold = self.fold();
        let content = Content { state: fold.mirror.front().clone(), events: Vec::new() };
        Start { session: fold.session.clone(), meta: fold.meta(), content }
    }

    /// Tells everybody that nothing more will come.
    pub(crate) fn close(&self) {
        self.shared.states.close();
        self.shared.progress.close();
        self.shared.snapshot_due.close();
        self.shared.feeds.close();
    }

    fn fold(&self) -> MutexGuard<'_, Fold> {
        self.shared.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, fold: &Fold, feed: Feed) {
        self.shared.states.replace(fold.mirror.front().clone());
        self.shared.feeds.send(&feed);
        self.tell_progress(fold);
    }

    fn tell_progress(&self, fold: &Fold) {
        self.shared.progress.tell(fold.progress());
        self.shared.snapshot_due.tell(fold.snapshot_due(self.shared.snapshot_every));
    }

    /// Applies entries; what was applied before is left alone.
    fn apply_entries(&self, entries: impl Iterator<Item = Entry>) -> (Vec<Outcome>, bool) {
        let mut fold = self.fold();
        let mut round = Round { state: fold.mirror.begin(), events: Vec::new(), bytes: 0, void: 0 };
        let mut outcomes = Vec::new();
        let mut new_members = false;
        for entry in entries {
            let is_new = Some(entry.log_id) > fold.applied;
            outcomes.push(match entry.payload {
                EntryPayload::Normal(batch) if is_new => round.apply(&batch),
                EntryPayload::Membership(membership) if is_new => {
                    fold.membership = StoredMembership::new(Some(entry.log_id), membership);
                    new_members = true;
                    Outcome::new()
                }
                _ => Outcome::new(),
            });
            fold.applied = fold.applied.max(Some(entry.log_id));
        }
        add(&self.shared.counting.void_appends, round.void);
        add(&self.shared.counting.events, round.events.len() as u64);
        let events = fold.take(round);
        if events.is_empty() {
            self.tell_progress(&fold);
        } else {
            self.publish(&fold, Feed::Events(events));
        }
        (outcomes, new_members)
    }

    /// Keeps who takes part where it can be read when the log cannot.
    async fn save_members(&self) {
        let record = {
            let fold = self.fold();
            MembersFile { session: fold.session.clone(), members: members_of(fold.membership.membership()) }
        };
        let saved = self.shared.executor.run(move |store| record.write(store.disk())).await;
        if !matches!(saved, Ok(Ok(()))) {
            tracing::warn!("the record of the members could not be written; it will be with the next change of them");
        }
    }

    fn install(&self, meta: &SnapshotMeta, content: Content) {
        let mut fold = self.fold();
        if meta.last_log_id <= fold.applied {
            return;
        }
        let limit = fold.ring_limit();
        let to = content.state.last_event_applied_idx;
        *fold = Fold::new(Start { session: fold.session.clone(), meta: meta.clone(), content }, limit);
        count(&self.shared.counting.snapshots_installed);
        self.publish(&fold, Feed::Jumped { to });
    }
}

/// What one call of openraft applies.
struct Round {
    state: State,
    events: Vec<IndexedEvent>,
    bytes: usize,
    void: u64,
}

impl Round {
    fn apply(&mut self, batch: &Arc<Batch>) -> Outcome {
        self.bytes += batch.size();
        let mut outcome = Outcome::new();
        for part in batch.parts() {
            let expected = self.state.last_event_applied_idx;
            if part.is_void_on(expected) {
                self.void += 1;
                outcome.push(PartOutcome::Void { expected });
                continue;
            }
            for event in part.on(expected) {
                apply(&mut self.state, &event);
                self.events.push(event);
            }
            let last = self.state.last_event_applied_idx;
            outcome.push(PartOutcome::Applied { first: expected.next(), last });
        }
        outcome
    }
}

impl Fold {
    fn new(start: Start, kept_events: usize) -> Self {
        let Start { session, meta, content } = start;
        let mut ring = Ring::new(kept_events, content.state.last_event_applied_idx);
        for group in content.events {
            let bytes = content::EVENT_BYTES / content::EVENTS * group.len();
            ring.push(group, bytes);
        }
        Self {
            session,
            applied: meta.last_log_id,
            membership: meta.last_membership,
            mirror: Mirror::new(content.state),
            ring,
            events: 0,
            bytes: 0,
        }
    }

    fn ring_limit(&self) -> usize {
        self.ring.limit()
    }

    fn take(&mut self, round: Round) -> Arc<Vec<IndexedEvent>> {
        let events = Arc::new(round.events);
        self.events += events.len() as u64;
        self.bytes += round.bytes;
        self.ring.push(events.clone(), round.bytes);
        self.mirror.show(round.state, events.clone());
        events
    }

    fn meta(&self) -> SnapshotMeta {
        let name = |at: LogId| format!("{}-{}", at.leader_id.term, at.index);
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: self.applied.map_or_else(|| "none".to_owned(), name),
        }
    }

    fn progress(&self) -> Progress {
        Progress { index: index_of(self.applied), event: self.mirror.front().last_event_applied_idx }
    }

    fn snapshot_due(&self, every: u64) -> bool {
        self.events >= every || self.bytes >= SNAPSHOT_BYTES
    }
}

impl RaftStateMachine<RaftTypes> for Machine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), RaftStorageError> {
        let fold = self.fold();
        Ok((fold.applied, fold.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, RaftStorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let (outcomes, new_members) = self.apply_entries(entries.into_iter());
        if new_members {
            self.save_members().await;
        }
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let fold = self.fold();
        let meta = fold.meta();
        let events = fold.ring.newest(content::EVENTS, content::EVENT_BYTES);
        let content = Content { state: fold.mirror.front().clone(), events };
        SnapshotBuilder { machine: self.clone(), meta, content, events: fold.events, bytes: fold.bytes }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, RaftStorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), RaftStorageError> {
        let data = snapshot.into_inner();
        let executor = &self.shared.executor;
        let decode = move || decode_content(&data).map(|content| (content, data));
        let (content, data) = executor.compute(decode).await.map_err(|e| io_error(&e))?.map_err(|e| io_error(&e))?;
        let stored = meta.clone();
        let save = executor.run(move |store| store.save_snapshot(&stored, &data, stored.last_log_id)).await;
        save.map_err(|e| io_error(&e))?.map_err(|e| io_error(&e))?;
        self.install(meta, content);
        self.save_members().await;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, RaftStorageError> {
        let read = self.shared.executor.run(|store| store.read_snapshot()).await;
        let found = read.map_err(|e| io_error(&e))?.map_err(|e| io_error(&e))?;
        Ok(found.map(|(meta, data)| Snapshot { meta, snapshot: Box::new(Cursor::new(data)) }))
    }
}

/// A State that is about to become a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    machine: Machine,
    meta: SnapshotMeta,
    content: Content,
    /// What it will save others from folding.
    events: u64,
    bytes: usize,
}

impl RaftSnapshotBuilder<RaftTypes> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, RaftStorageError> {
        let content = std::mem::take(&mut self.content);
        let executor = &self.machine.shared.executor;
        // The State is let go as soon as it is bytes: while it is held, it costs a copy of the State.
        let encode = move || encode_content(&content);
        let data = executor.compute(encode).await.map_err(|e| io_error(&e))?.map_err(|e| io_error(&e))?;
        let meta = self.meta.clone();
        let save =
            move |store: &mut crate::store::Store| store.save_snapshot(&meta, &data, meta.last_log_id).map(|()| data);
        let data = executor.run(save).await.map_err(|e| io_error(&e))?.map_err(|e| io_error(&e))?;
        let mut fold = self.machine.fold();
        fold.events = fold.events.saturating_sub(self.events);
        fold.bytes = fold.bytes.saturating_sub(self.bytes);
        count(&self.machine.shared.counting.snapshots);
        self.machine.tell_progress(&fold);
        drop(fold);
        Ok(Snapshot { meta: self.meta.clone(), snapshot: Box::new(Cursor::new(data)) })
    }
}
