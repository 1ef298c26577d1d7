//! The handle.

use crate::appender::{self, Pending};
use crate::batch::{DraftEvent, EncodedPart, Part};
use crate::dice::Dice;
use crate::disk::Executor;
use crate::intake;
use crate::keeper;
use crate::log_store::LogStore;
use crate::machine::{self, Content, Machine};
use crate::offline;
use crate::opening::{self, Opened};
use crate::pacemaker::Pacemaker;
use crate::raft_types::{LogId, Raft};
use crate::shared::{Parts, Shared};
use crate::store::Store;
use crate::wire::encode_refusal;
use crate::{
    AppendError, FoundError, LinearizeError, LogCounters, LogOptions, LogStanding, Member, OpenError, PeerTransport,
    Place, ReadError, Recovered, StorageError, Subscription,
};
use bytes::Bytes;
use exo_state::State;
use exo_types::{EventIndex, IndexedEvent, NodeId, SessionId};
use openraft::error::{CheckIsLeaderError, RaftError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Beyond the deadline of an append: an answer that is on its way is waited for.
const GRACE: Duration = Duration::from_millis(500);

/// The tasks of a log end at once when it is closed; what hangs longer is a hung disk.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// An acknowledgement: on the disks of a majority, and in the State here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Index of the first event.
    pub first: EventIndex,
    /// Index of the last one; before `first` when there was none.
    pub last: EventIndex,
}

/// Some applied events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// In order, without gaps.
    pub events: Vec<IndexedEvent>,
    /// The last one applied.
    pub last: EventIndex,
}

/// An open log. Clones are the same log; it stops when the last one is dropped, and is closed by [`EventLog::close`].
#[derive(Debug, Clone)]
pub struct EventLog {
    pub(crate) shared: Arc<Shared>,
    appends: mpsc::Sender<Pending>,
    _stop: Arc<DropGuard>,
}

impl EventLog {
    /// Opens what is there, or makes an empty place ready. With a session it begins to take part at once.
    pub async fn open(
        place: Place,
        options: LogOptions,
        peers: Arc<dyn PeerTransport>,
    ) -> Result<(Self, Recovered), OpenError> {
        let disk = place.into_disk();
        let opening = (disk.clone(), options.clone());
        let open = move || opening::open(opening.0, &opening.1);
        let opened = if disk.blocks() {
            let stopped = |_| OpenError::Unavailable { path: disk.name(), reason: "the process ends".to_owned() };
            tokio::task::spawn_blocking(open).await.map_err(stopped)??
        } else {
            open()?
        };
        let Opened { store, loaded, identity, start, recovered } = opened;
        let path = disk.name();
        let counting = store.counting();
        let executor = Executor::new(disk, store);
        let executor = executor.map_err(|error| OpenError::Unavailable { path, reason: error.to_string() })?;
        let executor = Arc::new(executor);
        let (kept, every) = (options.kept_events, options.snapshot_every);
        let now = Instant::now();
        // The next number after the one that the Raft id came from.
        let dice = Dice::new(options.entropy.rotate_left(17));
        let shared = Arc::new(Shared::new(Parts {
            own: Member { node_id: identity.node_id, raft_id: identity.raft_id },
            store: LogStore::new(executor.clone(), &loaded),
            machine: Machine::new(start, executor.clone(), counting.clone(), kept, every),
            pacemaker: Pacemaker::new(now, options.heartbeat, options.election, dice),
            session: recovered.session.clone(),
            options,
            executor,
            peers,
            counting,
        }));
        Ok((Self::start(shared), recovered))
    }

    fn start(shared: Arc<Shared>) -> Self {
        let (appends, queue) = mpsc::channel(appender::QUEUE);
        shared.tasks.spawn(appender::run(shared.clone(), queue));
        let stop = Arc::new(shared.stop.clone().drop_guard());
        let log = Self { shared, appends, _stop: stop };
        if log.shared.session().is_some() {
            log.start_keeper();
        }
        log
    }

    fn start_keeper(&self) {
        self.shared.tasks.spawn(keeper::run(self.shared.clone()));
    }

    /// Begins a session in an empty place, with this master as its only voter. `seed` is the State to go on from, its
    /// index included. Returns when that is on the disk; the log leads a moment later.
    pub async fn found(&self, session: SessionId, seed: Option<State>) -> Result<(), FoundError> {
        let _alone = self.shared.beginning.lock().await;
        self.check_empty()?;
        let content = Content { state: Arc::new(seed.unwrap_or_default()), events: Vec::new() };
        let (own, new, first) = (self.shared.own.clone(), session.clone(), content.clone());
        let save = move |store: &mut Store| offline::begin(store, &new, &own, &first);
        let meta = self.shared.executor.run(save).await.map_err(|_| FoundError::Closed)??;
        self.shared.store.begin(LogId::default());
        let start = machine::Start { session: Some(session.clone()), meta, content };
        self.shared.machine.begin(start, self.shared.options.kept_events);
        self.shared.set_session(session);
        self.start_keeper();
        Ok(())
    }

    /// Makes an empty place part of a session: it waits to be taken in by the session's leader.
    pub async fn join(&self, session: SessionId) -> Result<(), FoundError> {
        let _alone = self.shared.beginning.lock().await;
        if self.shared.session().as_ref() == Some(&session) {
            return Ok(());
        }
        self.check_empty()?;
        let saved = session.clone();
        let save = move |store: &mut Store| store.save_session(&saved);
        self.shared.executor.run(save).await.map_err(|_| FoundError::Closed)??;
        self.shared.set_session(session);
        self.start_keeper();
        Ok(())
    }

    fn check_empty(&self) -> Result<(), FoundError> {
        if self.shared.stop.is_cancelled() {
            return Err(FoundError::Closed);
        }
        self.shared.session().map_or(Ok(()), |session| Err(FoundError::NotEmpty { session }))
    }

    /// Who this is among the members.
    pub fn member(&self) -> Member {
        self.shared.own.clone()
    }

    /// Whose log it is.
    pub fn session(&self) -> Option<SessionId> {
        self.shared.session()
    }

    /// Appends events that were decided on the State at `base`: all or none, on that State or not at all.
    ///
    /// Dropping the future does not take them back.
    pub async fn append(&self, base: EventIndex, events: Vec<DraftEvent>) -> Result<Appended, AppendError> {
        self.submit(Part { base: Some(base), events }).await
    }

    /// Appends events that need no State to be decided on: all or none, wherever the log is then.
    pub async fn record(&self, events: Vec<DraftEvent>) -> Result<Appended, AppendError> {
        self.submit(Part { base: None, events }).await
    }

    async fn submit(&self, part: Part) -> Result<Appended, AppendError> {
        let deadline = Instant::now() + self.shared.options.append_deadline;
        let encoded = EncodedPart::new(part);
        let part = encoded.map_err(|error| AppendError::Storage(storage_error("encode events", &error)))?;
        if part.size() > appender::LARGEST {
            return Err(AppendError::TooLarge { bytes: part.size(), limit: appender::LARGEST });
        }
        let (answer, reply) = oneshot::channel();
        let place = timeout_at(deadline, self.appends.reserve()).await.map_err(|_| AppendError::Busy)?;
        place.map_err(|_| AppendError::Closed)?.send(Pending { part, deadline, answer });
        match timeout_at(deadline + GRACE, reply).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AppendError::Closed),
            Err(_) => Err(AppendError::Unknown { reason: "it was not acknowledged in time".to_owned() }),
        }
    }

    /// How it stands. Every call makes a channel of its own.
    pub fn standing(&self) -> watch::Receiver<LogStanding> {
        self.shared.standing.watch()
    }

    /// The State: everything that is committed and came here. Every call makes a channel of its own. Whoever holds a
    /// State for long costs the log a copy of it.
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.machine.watch_state()
    }

    /// What is applied from now on.
    pub fn events(&self) -> Subscription {
        self.shared.machine.subscribe()
    }

    /// Applied events from `since` on, at most `limit`.
    pub async fn read(&self, since: EventIndex, limit: usize) -> Result<Page, ReadError> {
        if self.shared.stop.is_cancelled() {
            return Err(ReadError::Closed);
        }
        self.shared.machine.read(since, limit)
    }

    /// Waits until the State here has everything that was acknowledged before this call. Leader only.
    pub async fn linearize(&self, within: Duration) -> Result<EventIndex, LinearizeError> {
        let raft = self.shared.raft().ok_or(LinearizeError::Closed)?;
        let reached = timeout(within, self.reach_latest(&raft)).await;
        reached.map_err(|_| LinearizeError::NoMajority)?
    }

    async fn reach_latest(&self, raft: &Raft) -> Result<EventIndex, LinearizeError> {
        let read = raft.get_read_log_id().await.map_err(|error| match error {
            RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)) => {
                LinearizeError::NotLeader { leader: forward.leader_node.and_then(|node| node.0) }
            }
            RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => LinearizeError::NoMajority,
            RaftError::Fatal(_) => LinearizeError::Closed,
        })?;
        let wanted = read.0.map_or(0, |at| at.index);
        let mut progress = self.shared.machine.watch_progress();
        let reached = progress.wait_for(|progress| progress.index >= wanted).await;
        reached.map(|progress| progress.event).map_err(|_| LinearizeError::Closed)
    }

    /// What was refused and done since it was opened.
    pub fn counters(&self) -> LogCounters {
        self.shared.counting.read()
    }

    /// The connections of the session's leader of `term` ended: campaign, each of the voters when it is its turn, until
    /// one leads or the leader is heard again. A later term says that somebody campaigns already, or leads.
    pub fn trigger_election(&self, term: u64) {
        let standing = self.shared.standing.latest();
        let current = self.shared.raft().map_or(standing.term, |raft| raft.metrics().borrow().current_term);
        if current > term {
            return;
        }
        let own = &self.shared.own;
        let gone = standing.leader.as_ref();
        let before = |member: &&Member| member.raft_id < own.raft_id && Some(&member.node_id) != gone;
        let rank = standing.members.voters.iter().filter(before).count();
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        self.shared.pacemaker().on_gone(Instant::now(), term, rank);
        self.shared.wake.notify_one();
    }

    /// Answers a request of another node's log. Whatever the request is, there is an answer, within ten seconds.
    pub async fn on_peer(&self, from: &NodeId, request: Bytes) -> Bytes {
        match intake::answer(&self.shared, from, &request).await {
            Ok(answer) => answer,
            Err(refused) => {
                intake::count_refusal(&self.shared, from, refused);
                encode_refusal(refused)
            }
        }
    }

    /// Ends it: what was acknowledged is on the disk, what waits is answered, other handles are told that it is closed.
    pub async fn close(self) {
        let shared = self.shared.clone();
        drop(self);
        shared.stop.cancel();
        shared.tasks.close();
        if timeout(CLOSE_DEADLINE, shared.tasks.wait()).await.is_err() {
            tracing::warn!("the log did not close in time; its disk may hang");
        }
        let closed = shared.executor.run(|store| store.close());
        if timeout(CLOSE_DEADLINE, closed).await.is_err() {
            tracing::warn!("the log file did not close in time; its disk may hang");
        }
        shared.machine.close();
        shared.standing.close();
    }

    /// Ends with the log, for who works on its behalf.
    pub fn closed(&self) -> CancellationToken {
        self.shared.stop.child_token()
    }
}

fn storage_error(action: &'static str, error: &dyn std::error::Error) -> StorageError {
    StorageError { path: "log".to_owned(), action, reason: error.to_string() }
}
