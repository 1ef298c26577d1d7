//! What the parts of one log have in common.

use crate::counters::Counting;
use crate::disk::Executor;
use crate::intake::Assembly;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::pacemaker::Pacemaker;
use crate::raft_types::Raft;
use crate::watchers::Watchers;
use crate::wire::SessionTag;
use crate::{LogOptions, LogStanding, Member, PeerTransport};
use exo_types::SessionId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests of peers that are answered at the same time; a sane peer has two under way.
const ANSWERS_AT_ONCE: usize = 64;

/// How long the leader's wish that another one leads is heeded.
const SANCTION: Duration = Duration::from_secs(2);

/// One log.
pub(crate) struct Shared {
    pub(crate) options: LogOptions,
    pub(crate) own: Member,
    pub(crate) executor: Arc<Executor>,
    pub(crate) store: LogStore,
    pub(crate) machine: Machine,
    pub(crate) peers: Arc<dyn PeerTransport>,
    pub(crate) counting: Arc<Counting>,
    pub(crate) standing: Watchers<LogStanding>,
    pub(crate) answers: Semaphore,
    pub(crate) assembly: AsyncMutex<Option<Assembly>>,
    /// A session begins here once, however many ask for it.
    pub(crate) beginning: AsyncMutex<()>,
    /// Wakes the keeper, who looks at everything then.
    pub(crate) wake: Notify,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Nobody else votes.
    alone: AtomicBool,
    /// How many hold that this one is about to leave.
    declining: AtomicUsize,
    /// Another one is to lead: what is appended now would keep it from having everything.
    handing_over: watch::Sender<bool>,
    changing: Mutex<Changing>,
    pacemaker: Mutex<Pacemaker>,
}

/// What changes, and is looked at by everybody.
#[derive(Default)]
pub(crate) struct Changing {
    pub(crate) session: Option<(SessionId, SessionTag)>,
    /// While openraft runs.
    pub(crate) raft: Option<Raft>,
    /// When which peer last answered, by its Raft id.
    pub(crate) heard: BTreeMap<u64, Instant>,
    /// Until when the leader wants this one to lead.
    sanctioned: Option<Instant>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("own", &self.own).finish_non_exhaustive()
    }
}

/// The parts that are made before.
pub(crate) struct Parts {
    pub(crate) options: LogOptions,
    pub(crate) own: Member,
    pub(crate) executor: Arc<Executor>,
    pub(crate) store: LogStore,
    pub(crate) machine: Machine,
    pub(crate) peers: Arc<dyn PeerTransport>,
    pub(crate) counting: Arc<Counting>,
    pub(crate) session: Option<SessionId>,
    pub(crate) pacemaker: Pacemaker,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let standing = LogStanding {
            session: parts.session.clone(),
            raft_id: parts.own.raft_id,
            members: parts.machine.members(),
            applied: parts.machine.progress().event,
            ..LogStanding::default()
        };
        let shared = Self {
            options: parts.options,
            own: parts.own,
            executor: parts.executor,
            store: parts.store,
            machine: parts.machine,
            peers: parts.peers,
            counting: parts.counting,
            standing: Watchers::new(standing),
            answers: Semaphore::new(ANSWERS_AT_ONCE),
            assembly: AsyncMutex::new(None),
            beginning: AsyncMutex::new(()),
            wake: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            alone: AtomicBool::new(false),
            declining: AtomicUsize::new(0),
            handing_over: watch::Sender::new(false),
            changing: Mutex::default(),
            pacemaker: Mutex::new(parts.pacemaker),
        };
        if let Some(session) = parts.session {
            shared.set_session(session);
        }
        shared
    }

    pub(crate) fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pacemaker(&self) -> MutexGuard<'_, Pacemaker> {
        self.pacemaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_session(&self, session: SessionId) {
        let tag = SessionTag::of(&session);
        self.machine.set_session(&session);
        self.changing().session = Some((session, tag));
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        self.changing().session.as_ref().map(|(session, _)| session.clone())
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Relaxed)
    }

    pub(crate) fn set_alone(&self, alone: bool) {
        self.alone.store(alone, Ordering::Relaxed);
    }

    pub(crate) fn declines(&self) -> bool {
        self.declining.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn on_declining(&self, begins: bool) {
        if begins {
            self.declining.fetch_add(1, Ordering::Relaxed);
        } else {
            self.declining.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn on_handing_over(&self, begins: bool) {
        self.handing_over.send_replace(begins);
    }

    /// Until nobody is to take over.
    pub(crate) async fn appends_go_on(&self) {
        let mut handing_over = self.handing_over.subscribe();
        // The sender is here as long as `self`.
        drop(handing_over.wait_for(|handing_over| !handing_over).await);
    }

    pub(crate) fn raft(&self) -> Option<Raft> {
        self.changing().raft.clone()
    }

    pub(crate) fn on_peer_heard(&self, raft_id: u64) {
        let is_first = self.changing().heard.insert(raft_id, Instant::now()).is_none();
        if is_first {
            // The standing tells who answers; a new leader decides on that.
            self.wake.notify_one();
        }
    }

    /// The leader wants this one to lead: peers are asked in its name for a while.
    pub(crate) fn sanction(&self) {
        self.changing().sanctioned = Some(Instant::now() + SANCTION);
    }

    pub(crate) fn is_sanctioned(&self) -> bool {
        self.changing().sanctioned.is_some_and(|until| Instant::now() < until)
    }
}
