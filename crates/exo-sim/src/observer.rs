//! Sees what everybody sees, and shows it to the invariants.

use crate::client::Books;
use crate::invariants::logs_agree::{self, LogsAgree};
use crate::invariants::one_leader_per_term::{self, OneLeaderPerTerm};
use crate::invariants::states_agree::{self, StatesAgree};
use crate::invariants::{acknowledged_stays, routed_to_ready};
use exo_bus::{ProcessId, Sent, topics};
use exo_node::View;
use exo_state::State;
use exo_types::{
    CommandId, Event, GenerateRequest, GlobalForwarderEvent, IndexedEvent, MasterPresence, NodeId, SessionId,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Everything that was seen. A clone is the same.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) books: Books,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    leaders: OneLeaderPerTerm,
    logs: LogsAgree,
    states: StatesAgree,
    /// The State that knows most.
    latest: Arc<State>,
    /// Views of the processes that may send requests.
    senders: BTreeMap<ProcessId, (String, watch::Receiver<View>)>,
}

impl Observer {
    pub(crate) fn new(books: Books) -> Self {
        Self { books, seen: Arc::default() }
    }

    /// A process of a machine follows the log.
    pub(crate) fn on_view(&self, who: &str, view: &View) {
        let mut seen = self.lock();
        let holds = seen.states.on_state(who, &view.state);
        if seen.latest.last_event_applied_idx <= view.state.last_event_applied_idx {
            seen.latest = view.state.clone();
        }
        drop(seen);
        self.books.findings.check(states_agree::NAME, holds);
    }

    /// Follows a view for as long as its process lives.
    pub(crate) async fn follow(self, who: String, mut view: watch::Receiver<View>) {
        let mut known = (None, None);
        while view.changed().await.is_ok() {
            let latest = view.borrow_and_update().clone();
            let now = (latest.session.clone(), latest.leader.clone());
            if now != known {
                let (session, leader) = (shown(now.0.as_ref()), shown(now.1.as_ref()));
                self.books.trace.say(format_args!("{who} follows session {session} led by {leader}"));
                known = now;
            }
            self.on_view(&who, &latest);
        }
    }

    /// A master says that it leads.
    pub(crate) fn on_leader(&self, session: &SessionId, term: u64, node: &NodeId) {
        let holds = self.lock().leaders.on_leader(session, term, node);
        self.books.findings.check(one_leader_per_term::NAME, holds);
    }

    /// A master applied events.
    pub(crate) fn on_events(&self, who: &str, session: &SessionId, events: &[IndexedEvent]) {
        for event in events {
            let holds = self.lock().logs.on_event(who, session, event);
            self.books.findings.check(logs_agree::NAME, holds);
        }
    }

    /// A process that may send requests, and its view.
    pub(crate) fn on_sender(&self, process: ProcessId, who: String, view: watch::Receiver<View>) {
        self.lock().senders.insert(process, (who, view));
    }

    /// A message sets out.
    pub(crate) fn on_sent(&self, sent: &Sent<'_>) {
        self.books.trace.sent(sent);
        if sent.key.strip_prefix("topic/") == Some(topics::GLOBAL_EVENTS.name()) {
            if let Some(GlobalForwarderEvent { session, event }) = sent.read() {
                self.on_events(&format!("the master in process {}", sent.from), &session, &[event]);
            }
            return;
        }
        if let Some((node, MasterPresence { candidate, leading: true, term, .. })) = sent.announcement(topics::MASTER) {
            return self.on_leader(&candidate.session, term, &node);
        }
        let Some(stream) = sent.key.strip_prefix("stream/") else { return };
        if !stream.starts_with(topics::GENERATE.name()) {
            return;
        }
        let seen = self.lock();
        let Some((who, view)) = seen.senders.get(&sent.from) else { return };
        let Some(request) = sent.read::<GenerateRequest>() else { return };
        let holds = routed_to_ready::check(who, &view.borrow(), &request);
        drop(seen);
        self.books.findings.check(routed_to_ready::NAME, holds);
    }

    /// Compares what clients were told with what happened. For the end, when all is known.
    pub(crate) fn settle(&self) {
        let mut happened: BTreeMap<CommandId, usize> = BTreeMap::new();
        for (_, event) in self.lock().logs.events() {
            if let Some(id) = command_of(&event.event) {
                *happened.entry(id).or_default() += 1;
            }
        }
        let told = self.books.oracle.told();
        // What a leader could not publish any more is in the log and in the State all the same.
        let latest = self.lock().latest.clone();
        for id in told.keys().filter(|id| latest.accepted_commands.get(id).is_some()) {
            happened.entry(id.clone()).or_insert(1);
        }
        for detail in acknowledged_stays::check(told.iter(), &happened) {
            self.books.findings.check(acknowledged_stays::NAME, Err(detail));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command that an event is the mark of.
fn command_of(event: &Event) -> Option<CommandId> {
    match event {
        Event::CommandAccepted { command_id, .. } => Some(command_id.clone()),
        _ => None,
    }
}

fn shown(what: Option<&impl ToString>) -> String {
    what.map_or_else(|| "none".to_owned(), ToString::to_string)
}
