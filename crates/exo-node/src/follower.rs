//! Follows one session's log: puts events in order, asks for what is missing, and folds.
//!
//! Sans-IO: messages and the time go in; requests, a time to be woken, and views come out.

use crate::View;
use exo_state::{Applied, CodecError, Skip, State, apply, decode_state};
use exo_types::{
    Candidate, ElectionMessage, EventIndex, EventLogPage, GlobalForwarderEvent, IndexedEvent, NodeId, RequestEventLog,
    SessionId,
};
use std::collections::{BTreeMap, BTreeSet};
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

/// What to ask whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The leading master.
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
    /// Who claims to lead, as long as they are there.
    claims: BTreeMap<NodeId, Candidate>,
    following: Option<Candidate>,
    state: Arc<State>,
    /// The State is of another session, or none: the next page replaces it.
    stale: bool,
    /// What came too early.
    early: BTreeMap<EventIndex, IndexedEvent>,
    /// The end of the log, as far as it was told.
    last: EventIndex,
    fetch: FetchState,
    failures: u32,
    changed: bool,
    unreadable: BTreeSet<String>,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            claims: BTreeMap::new(),
            following: None,
            state: Arc::default(),
            stale: true,
            early: BTreeMap::new(),
            last: EventIndex(0),
            fetch: FetchState::Idle,
            failures: 0,
            changed: false,
            unreadable: BTreeSet::new(),
        }
    }
}

impl Follower {
    /// A master is there that leads, or says something new of itself. Only a larger session is switched to.
    pub fn on_leader(&mut self, now: Instant, node: NodeId, candidate: Candidate) {
        self.claims.insert(node, candidate.clone());
        self.changed = true;
        match &mut self.following {
            Some(known) if known.session == candidate.session => *known = candidate,
            Some(known) if *known > candidate => return,
            _ => self.switch_to(candidate),
        }
        self.look_for_gaps(now);
    }

    /// A master does not lead any more, or is gone. The State stays.
    pub fn on_leader_left(&mut self, node: &NodeId) {
        self.claims.remove(node);
        self.changed = true;
    }

    /// A leading master tells how far its log is. Whom to follow is decided by presence, which cannot get lost.
    pub fn on_announcement(&mut self, now: Instant, message: &ElectionMessage) {
        if self.follows(&message.candidate.session) {
            self.last = self.last.max(message.last_index);
            self.look_for_gaps(now);
        }
    }

    /// An event, in whatever order.
    pub fn on_event(&mut self, now: Instant, message: GlobalForwarderEvent) {
        if !self.follows(&message.session) {
            return;
        }
        self.last = self.last.max(message.event.idx);
        self.keep(message.event);
        self.fold_kept();
        self.look_for_gaps(now);
    }

    /// Messages were lost; which, only the log knows.
    pub fn on_lost(&mut self, now: Instant) {
        if self.following.is_some() && self.fetch == FetchState::Idle {
            self.fetch = FetchState::Due(now);
        }
    }

    /// What was asked for.
    pub fn on_page(&mut self, now: Instant, page: EventLogPage) -> Result<(), PageError> {
        let FetchState::InFlight { applied } = self.fetch else { return Ok(()) };
        self.fetch = FetchState::Idle;
        let taken = self.take_page(applied, page);
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
        let from = self.leader()?.clone();
        if at > now {
            return None;
        }
        let applied = self.applied();
        self.fetch = FetchState::InFlight { applied };
        let session = self.following.as_ref().map(|candidate| candidate.session.clone());
        Some(Fetch { from, request: RequestEventLog { session, since: applied.next() } })
    }

    /// When to call [`Follower::poll_fetch`] again, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.fetch {
            FetchState::Due(at) if self.leader().is_some() => Some(at),
            _ => None,
        }
    }

    /// The new view, if there is one.
    pub fn take_change(&mut self) -> Option<View> {
        std::mem::take(&mut self.changed).then(|| View {
            session: self.following.as_ref().map(|candidate| candidate.session.clone()),
            leader: self.leader().cloned(),
            state: self.state.clone(),
        })
    }

    /// Names of events of a newer version that were skipped since the last call.
    pub fn take_unreadable(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.unreadable)
    }

    fn leader(&self) -> Option<&NodeId> {
        let session = &self.following.as_ref()?.session;
        self.claims.iter().find(|(_, candidate)| candidate.session == *session).map(|(node, _)| node)
    }

    fn follows(&self, session: &SessionId) -> bool {
        self.following.as_ref().is_some_and(|candidate| candidate.session == *session)
    }

    fn switch_to(&mut self, candidate: Candidate) {
        self.following = Some(candidate);
        self.start_anew();
    }

    fn start_anew(&mut self) {
        self.stale = true;
        self.early.clear();
        self.last = EventIndex(0);
        self.fetch = FetchState::Idle;
        self.failures = 0;
    }

    /// The last event that is in; none of this session while the State is another's.
    fn applied(&self) -> EventIndex {
        if self.stale { EventIndex(0) } else { self.state.last_event_applied_idx }
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
        while let Some(event) = self.early.remove(&self.state.last_event_applied_idx.next()) {
            self.changed = true;
            if let Applied::Skipped(Skip::NewerVersion { name }) = apply(Arc::make_mut(&mut self.state), &event) {
                self.unreadable.insert(name);
            }
        }
        let applied = self.state.last_event_applied_idx;
        self.early.retain(|idx, _| *idx > applied);
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

    fn retry_later(&mut self, now: Instant) {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.fetch = FetchState::Due(now + RETRY_FIRST.saturating_mul(factor).min(RETRY_MAX));
    }

    fn take_page(&mut self, applied_then: EventIndex, page: EventLogPage) -> Result<(), PageError> {
        if let Some(wanted) = self.following.as_ref().map(|candidate| &candidate.session)
            && *wanted != page.session
        {
            return Err(PageError::Session { wanted: wanted.clone(), got: page.session });
        }
        if page.last < applied_then {
            // The log went back (its disk was restored): what was seen beyond it never happened.
            self.start_anew();
            return Ok(());
        }
        let before = self.applied();
        let was_stale = self.stale;
        self.last = self.last.max(page.last);
        self.take_base(page.snapshot.map(|bytes| decode_state(&bytes.0)).transpose()?, &page.events);
        for event in page.events {
            // Past the limit of the buffer: a page is bounded by its sender and in order.
            if event.idx > self.applied() {
                self.early.insert(event.idx, event);
            }
            self.fold_kept();
        }
        let progress = self.applied() > before || (was_stale && !self.stale);
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
        self.state = Arc::new(base);
        self.stale = false;
        self.changed = true;
        self.fold_kept();
    }
}

#[cfg(test)]
mod tests;
