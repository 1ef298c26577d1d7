//! Follows one session's log: puts events in order, asks for what is missing, and folds.
//!
//! Sans-IO: messages and the time go in; requests, a time to be woken, and views come out. Any master of the session has
//! the log, so any can be asked: the leading one first, after a failure the next.

mod assembly;
mod masters;

use crate::View;
use assembly::Assembly;
pub use assembly::PartError;
use exo_ambient::{Bug, planted};
use exo_state::{Applied, CodecError, Mirror, Skip, State, apply, decode_state};
use exo_types::{
    ElectionMessage, EventIndex, EventLogPage, GlobalEvents, IndexedEvent, MasterPresence, NodeId, RequestEventLog,
    SessionId,
};
use masters::Masters;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a gap may close by itself before it is asked for: events overtake each other by less.
const GAP_DELAY: Duration = Duration::from_millis(50);
/// After the first failure to get what is missing; doubles.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Never longer between two tries.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Events kept behind a gap; what is beyond comes with the pages that close the gap.
const BUFFER: usize = 4096;
/// A leader that is new has applied everything long before; one whose log still ends before what was seen lost it.
const WENT_BACK: Duration = Duration::from_secs(5);
/// Folded events that are kept for whoever asks; older ones a master has.
const FOLDED: usize = 1024;

/// What to ask whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// A master of the session.
    pub from: NodeId,
    /// Which part of its log.
    pub request: RequestEventLog,
}

/// Why a page was of no use. The follower tries again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Of another log.
    #[error("session {wanted} was asked for, a page of {got} came")]
    Session {
        /// The one followed.
        wanted: SessionId,
        /// The one that came.
        got: SessionId,
    },
    /// The snapshot cannot be read.
    #[error("the snapshot that the master sent cannot be read: {0}")]
    Snapshot(#[from] CodecError),
    /// The snapshot does not come together.
    #[error(transparent)]
    Part(#[from] PartError),
    /// It ends before what was seen.
    #[error("the master's log ends at event {last}, event {applied} was seen already")]
    Behind {
        /// The last event that is in.
        applied: EventIndex,
        /// End of the master's log.
        last: EventIndex,
    },
    /// Nothing in it that is next.
    #[error("event {expected} was asked for; the page does not have it, though the log goes on to {last}")]
    NoProgress {
        /// The event that is next.
        expected: EventIndex,
        /// End of the log.
        last: EventIndex,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FetchState {
    /// Nothing is missing.
    Idle,
    /// Something is; ask then.
    Due(Instant),
    /// Asked, when this was the last event.
    InFlight { applied: EventIndex },
}

/// Follows the largest session that it hears of.
#[derive(Debug)]
pub struct Follower {
    masters: Masters,
    states: Mirror,
    /// The State is of another session, or none: the next page replaces it.
    stale: bool,
    /// What came too early.
    early: BTreeMap<EventIndex, IndexedEvent>,
    /// A State whose parts are coming.
    assembly: Option<Assembly>,
    /// The end of the log, as far as it was told.
    last: EventIndex,
    fetch: FetchState,
    failures: u32,
    /// Since when the leader's log ends before what was seen, and what that was.
    behind: Option<(Instant, EventIndex)>,
    changed: bool,
    unreadable: BTreeSet<String>,
    /// Messages of sessions that are not followed.
    foreign: u64,
    folded: VecDeque<IndexedEvent>,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            masters: Masters::default(),
            states: Mirror::new(Arc::default()),
            stale: true,
            early: BTreeMap::new(),
            assembly: None,
            last: EventIndex(0),
            fetch: FetchState::Idle,
            failures: 0,
            behind: None,
            changed: false,
            unreadable: BTreeSet::new(),
            foreign: 0,
            folded: VecDeque::new(),
        }
    }
}

impl Follower {
    /// A master is there, or says something new of itself. Only a larger session that is led is switched to; while the
    /// leader of the followed one is there, only after it had some time to hand over.
    pub fn on_master(&mut self, now: Instant, node: NodeId, presence: MasterPresence) {
        let leader = self.masters.leader().cloned();
        let is_back = !self.masters.is_there(&node);
        let is_other = self.masters.on_master(now, node, presence);
        self.on_masters(now, is_other);
        // What the old leader committed last may never have been published. And while nobody leads, nobody says how far
        // the log is: who was cut off from its masters asks the first that is there again.
        if self.masters.leader() != leader.as_ref() || (leader.is_none() && is_back) {
            self.ask_soon(now);
        }
    }

    /// A master is gone. The State stays.
    pub fn on_master_left(&mut self, now: Instant, node: &NodeId) {
        let is_other = self.masters.on_left(now, node);
        self.on_masters(now, is_other);
    }

    /// Call it when [`Follower::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.masters.handle_timeout(now) {
            self.on_masters(now, true);
        }
    }

    fn on_masters(&mut self, now: Instant, is_other_session: bool) {
        self.changed = true;
        if is_other_session {
            self.start_anew();
        }
        self.look_for_gaps(now);
    }

    /// A leading master tells how far its log is. Whom to follow is decided by presence, which cannot get lost.
    pub fn on_announcement(&mut self, now: Instant, message: &ElectionMessage) {
        if !self.follows(&message.candidate.session) {
            return;
        }
        self.last = self.last.max(message.last_index);
        self.note_end(now, message.last_index);
        self.look_for_gaps(now);
    }

    /// Events, in whatever order.
    pub fn on_events(&mut self, now: Instant, message: GlobalEvents) {
        if !self.follows(&message.session) {
            self.foreign += 1;
            return;
        }
        for event in message.events {
            self.last = self.last.max(event.idx);
            self.keep(event);
        }
        self.fold_kept();
        self.look_for_gaps(now);
    }

    /// Messages were lost; which, only the log knows.
    pub fn on_lost(&mut self, now: Instant) {
        if self.masters.session().is_some() && self.fetch == FetchState::Idle {
            self.fetch = FetchState::Due(now);
        }
    }

    /// What was asked for.
    pub fn on_page(&mut self, now: Instant, page: EventLogPage) -> Result<(), PageError> {
        let FetchState::InFlight { applied } = self.fetch else { return Ok(()) };
        self.fetch = FetchState::Idle;
        let taken = self.take_page(now, applied, page);
        match taken {
            Ok(()) => {
                self.failures = 0;
                self.look_for_gaps(now);
            }
            Err(_) => self.retry_later(now),
        }
        taken
    }

    /// What was asked for does not come.
    pub fn on_fetch_failed(&mut self, now: Instant) {
        self.retry_later(now);
    }

    /// What to ask now. The answer, or its absence, must be told before this gives anything again.
    pub fn poll_fetch(&mut self, now: Instant) -> Option<Fetch> {
        let FetchState::Due(at) = self.fetch else { return None };
        let from = self.masters.source(self.failures)?.clone();
        let session = self.masters.session()?.clone();
        if at > now {
            return None;
        }
        let applied = self.applied();
        self.fetch = FetchState::InFlight { applied };
        if planted(Bug::DropGapRequest) && !self.stale {
            return None;
        }
        let part = self.assembly.as_ref().map(Assembly::mark);
        Some(Fetch { from, request: RequestEventLog { part, ..RequestEventLog::since(session, applied.next()) } })
    }

    /// When to call [`Follower::handle_timeout`] and [`Follower::poll_fetch`] again, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let fetch = match self.fetch {
            FetchState::Due(at) if self.masters.source(0).is_some() => Some(at),
            _ => None,
        };
        fetch.into_iter().chain(self.masters.poll_timeout()).min()
    }

    /// The new view, if there is one.
    pub fn take_change(&mut self) -> Option<View> {
        std::mem::take(&mut self.changed).then(|| View {
            session: self.masters.session().cloned(),
            leader: self.masters.leader().cloned(),
            masters: self.masters.of_session().cloned().collect(),
            state: self.states.front().clone(),
        })
    }

    /// Events that were folded since the last call, in order; the last of them if they were many. A State that came
    /// whole leaves a gap before them.
    pub fn take_folded(&mut self) -> Vec<IndexedEvent> {
        std::mem::take(&mut self.folded).into()
    }

    /// Names of events of a newer version that were skipped since the last call.
    pub fn take_unreadable(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.unreadable)
    }

    /// Messages of sessions that are not followed, since the last call: of one that has ended, or has yet to be found.
    pub fn take_foreign(&mut self) -> u64 {
        std::mem::take(&mut self.foreign)
    }

    fn follows(&self, session: &SessionId) -> bool {
        self.masters.session() == Some(session)
    }

    fn start_anew(&mut self) {
        self.stale = true;
        self.early.clear();
        self.assembly = None;
        self.last = EventIndex(0);
        self.fetch = FetchState::Idle;
        self.failures = 0;
        self.behind = None;
    }

    /// The last event that is in; none of this session while the State is another's.
    fn applied(&self) -> EventIndex {
        if self.stale { EventIndex(0) } else { self.states.front().last_event_applied_idx }
    }

    fn keep(&mut self, event: IndexedEvent) {
        if event.idx > self.applied() && self.early.len() < BUFFER {
            self.early.insert(event.idx, event);
        }
    }

    fn fold_kept(&mut self) {
        if self.stale {
            return;
        }
        let mut last = self.applied();
        let run = std::iter::from_fn(|| {
            last = last.next();
            self.take_kept(last)
        });
        let run: Vec<IndexedEvent> = run.collect();
        if !run.is_empty() {
            self.fold(run);
        }
        let applied = self.applied();
        self.early.retain(|idx, _| *idx > applied);
    }

    /// In one piece: whoever looks sees all of them or none.
    fn fold(&mut self, run: Vec<IndexedEvent>) {
        let mut state = self.states.begin();
        for event in &run {
            if let Applied::Skipped(Skip::NewerVersion { name }) = apply(&mut state, event) {
                self.unreadable.insert(name);
            }
        }
        let run = Arc::new(run);
        self.states.show(state, run.clone());
        self.changed = true;
        self.folded.extend(run.iter().cloned());
        self.folded.drain(..self.folded.len().saturating_sub(FOLDED));
    }

    fn take_kept(&mut self, next: EventIndex) -> Option<IndexedEvent> {
        if planted(Bug::ApplyOutOfOrder) {
            return self.early.pop_first().map(|(_, event)| IndexedEvent { idx: next, ..event });
        }
        self.early.remove(&next)
    }

    fn look_for_gaps(&mut self, now: Instant) {
        let missing = self.stale || self.last > self.applied();
        match self.fetch {
            FetchState::Idle if missing => {
                let delay = if self.stale { Duration::ZERO } else { GAP_DELAY };
                self.fetch = FetchState::Due(now + delay);
            }
            FetchState::Due(_) if !missing => self.fetch = FetchState::Idle,
            _ => {}
        }
    }

    /// The end of the log may be further than was told.
    fn ask_soon(&mut self, now: Instant) {
        if self.masters.source(0).is_some() && self.fetch == FetchState::Idle {
            self.fetch = FetchState::Due(now + GAP_DELAY);
        }
    }

    /// The log of a leader ends there. If that stays before what was seen, its disk was put back: what was seen beyond it
    /// never happened.
    fn note_end(&mut self, now: Instant, last: EventIndex) {
        let applied = self.applied();
        match self.behind {
            _ if last >= applied => self.behind = None,
            Some((since, seen)) if seen == applied => {
                if now.saturating_duration_since(since) >= WENT_BACK {
                    self.start_anew();
                    self.last = last;
                }
            }
            _ => self.behind = Some((now, applied)),
        }
    }

    fn retry_later(&mut self, now: Instant) {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.fetch = FetchState::Due(now + RETRY_FIRST.saturating_mul(factor).min(RETRY_MAX));
    }

    fn take_page(&mut self, now: Instant, applied_then: EventIndex, page: EventLogPage) -> Result<(), PageError> {
        if let Some(wanted) = self.masters.session()
            && *wanted != page.session
        {
            return Err(PageError::Session { wanted: wanted.clone(), got: page.session });
        }
        if page.last < applied_then {
            // Of a master that is behind, or a leader that is new.
            return Err(PageError::Behind { applied: applied_then, last: page.last });
        }
        let before = self.applied();
        let was_stale = self.stale;
        self.last = self.last.max(page.last);
        let snapshot = match Assembly::take(&mut self.assembly, page.snapshot)? {
            Some(bytes) => Some(decode_state(&bytes)?),
            None => None,
        };
        if self.assembly.is_some() {
            self.fetch = FetchState::Due(now);
            return Ok(());
        }
        self.take_base(snapshot, &page.events);
        // Past the limit of the buffer: a page is bounded by its sender.
        self.early.extend(page.events.into_iter().map(|event| (event.idx, event)));
        self.fold_kept();
        let progress = self.applied() > before || (was_stale && !self.stale);
        if self.applied() < page.last && progress {
            self.fetch = FetchState::Due(now);
        }
        if progress || self.applied() >= page.last {
            Ok(())
        } else {
            Err(PageError::NoProgress { expected: self.applied().next(), last: page.last })
        }
    }

    /// What the events of a page are folded onto: its snapshot, or nothing if the page starts at the first event.
    fn take_base(&mut self, snapshot: Option<State>, events: &[IndexedEvent]) {
        let begins = events.first().is_some_and(|event| event.idx == EventIndex(1));
        let base = match snapshot {
            Some(state) if self.stale || state.last_event_applied_idx > self.applied() => state,
            None if self.stale && begins => State::default(),
            _ => return,
        };
        self.states = Mirror::new(Arc::new(base));
        self.stale = false;
        self.changed = true;
        self.folded.clear();
        self.fold_kept();
    }
}

#[cfg(test)]
mod tests;
