//! Watches the logs of one master, whether it leads or not: what is applied in them, and to which State that leads.

use crate::observer::Observer;
use exo_log::{EventLog, Feed, Subscription, SubscriptionError};
use exo_master::Slot;
use exo_state::State;
use exo_types::SessionId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Watches. A clone watches the same logs; it holds none of them open.
#[derive(Clone)]
pub(crate) struct LogWatch {
    who: String,
    observer: Observer,
    logs: Arc<Mutex<Logs>>,
}

#[derive(Default)]
struct Logs {
    sessions: BTreeMap<Slot, SessionId>,
    /// Of those that are open.
    states: BTreeMap<Slot, watch::Receiver<Arc<State>>>,
    tasks: JoinSet<()>,
}

impl LogWatch {
    pub(crate) fn new(who: String, observer: Observer) -> Self {
        Self { who, observer, logs: Arc::default() }
    }

    /// That log is to be one of the session.
    pub(crate) fn on_begun(&self, slot: &Slot, session: &SessionId) {
        self.lock().sessions.insert(slot.clone(), session.clone());
    }

    /// It was opened just now.
    pub(crate) fn on_opened(&self, slot: &Slot, log: &EventLog) {
        let Some(session) = self.lock().sessions.get(slot).cloned() else { return };
        let (feed, mut state) = (log.events(), log.state());
        let found = state.borrow_and_update().clone();
        self.observer.on_log_state(&self.who, &session, &found);
        let mut logs = self.lock();
        logs.states.insert(slot.clone(), state.clone());
        while logs.tasks.try_join_next().is_some() {}
        let (who, observer) = (self.who.clone(), self.observer.clone());
        logs.tasks.spawn(follow(who, observer, session, feed, state));
    }

    /// That log is in use now, instead of the other one: true if the session was given up for one of another master.
    pub(crate) fn is_given_up(&self, before: &Slot, now: &Slot, own: &str) -> bool {
        let logs = self.lock();
        let (Some(before), Some(now)) = (logs.sessions.get(before), logs.sessions.get(now)) else { return false };
        before != now && now.master_node_id.as_str() != own
    }

    /// The process is gone, and nothing is open any more.
    pub(crate) fn on_closed(&self) {
        self.lock().states.clear();
    }

    /// What is applied in a log, while it is open.
    pub(crate) fn state(&self, slot: &Slot) -> Option<(SessionId, Arc<State>)> {
        let logs = self.lock();
        let state = logs.states.get(slot)?.borrow().clone();
        Some((logs.sessions.get(slot)?.clone(), state))
    }

    fn lock(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with the log.
async fn follow(
    who: String,
    observer: Observer,
    session: SessionId,
    mut feed: Subscription,
    mut state: watch::Receiver<Arc<State>>,
) {
    loop {
        let reached = match feed.next().await {
            Ok(Feed::Events(events)) => {
                observer.on_events(&who, &session, &events);
                events.last().map(|event| event.idx)
            }
            Ok(Feed::Jumped { to }) => Some(to),
            Err(SubscriptionError::Lagged { .. }) => None,
            Err(SubscriptionError::Closed) => return,
        };
        let now = state.borrow_and_update().clone();
        // One that is further has its turn after the events that lead to it.
        if reached == Some(now.last_event_applied_idx) {
            observer.on_log_state(&who, &session, &now);
        }
    }
}
