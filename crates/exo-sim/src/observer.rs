//! Sees what everybody sees, and shows it to the invariants.

use crate::client::Books;
use crate::invariants::acknowledged_stays::{self, Accounts, Happened};
use crate::invariants::logs_agree::{self, LogsAgree};
use crate::invariants::one_leader_per_term::{self, OneLeaderPerTerm};
use crate::invariants::one_session::Final;
use crate::invariants::routed_to_ready;
use crate::invariants::states_agree::{self, StatesAgree};
use crate::scenario::CLIENTS_BEGIN;
use crate::tally::Tally;
use exo_bus::{ProcessId, Sent, topics};
use exo_node::View;
use exo_state::State;
use exo_types::{CommandId, Event, GenerateRequest, GlobalEvents, IndexedEvent, MasterPresence, NodeId, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// So many voters or more are replaced one by one; with fewer a change is a session that grows or shrinks.
const FULL: usize = 3;

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
    /// What was published last: each receiver gets the same.
    published: Vec<u8>,
    /// Of the processes that follow a session.
    views: BTreeMap<ProcessId, (String, watch::Receiver<View>)>,
    /// The voters of each session that was taken over or founded, as its latest leader tells.
    voters: BTreeMap<SessionId, (u64, BTreeSet<NodeId>)>,
    taken_over: BTreeSet<SessionId>,
    /// Commands of sessions that were gone on from: also what nobody had acknowledged there comes true so, and is
    /// applied in no log.
    inherited: BTreeSet<(SessionId, CommandId)>,
    tally: Tally,
}

impl Observer {
    pub(crate) fn new(books: Books) -> Self {
        Self { books, seen: Arc::default() }
    }

    /// Somebody has that State.
    fn on_state(&self, who: &str, state: &Arc<State>) {
        let mut seen = self.lock();
        let Seen { states, logs, .. } = &mut *seen;
        let holds = states.on_state(who, state, logs);
        drop(seen);
        self.books.findings.check(states_agree::NAME, holds);
    }

    /// A process follows the log, until [`Observer::on_gone`].
    pub(crate) fn on_view(&self, process: ProcessId, who: String, view: watch::Receiver<View>) {
        self.lock().views.insert(process, (who, view));
    }

    /// A process is no more.
    pub(crate) fn on_gone(&self, process: ProcessId) {
        self.lock().views.remove(&process);
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
            self.on_state(&who, &latest.state);
        }
    }

    /// A master says that it leads.
    pub(crate) fn on_leader(&self, node: &NodeId, presence: &MasterPresence) {
        let (session, term) = (&presence.candidate.session, presence.term);
        let mut seen = self.lock();
        let holds = seen.leaders.on_leader(session, term, node);
        seen.on_voters(session, term, &presence.voters);
        drop(seen);
        self.books.findings.check(one_leader_per_term::NAME, holds);
    }

    /// A master applied events, or published them.
    pub(crate) fn on_events(&self, who: &str, session: &SessionId, events: &[IndexedEvent]) {
        for event in events {
            let holds = self.lock().logs.on_event(who, session, event);
            self.books.findings.check(logs_agree::NAME, holds);
        }
    }

    /// What is applied in a master's log. Before its session is opened it holds what a survivor goes on from.
    pub(crate) fn on_log_state(&self, who: &str, session: &SessionId, state: &Arc<State>) {
        match &state.session {
            Some(of) if of == session => self.on_state(who, state),
            Some(before) => {
                let mut seen = self.lock();
                seen.tally.takeovers += u64::from(seen.taken_over.insert(session.clone()));
                let commands = state.accepted_commands.iter().map(|accepted| accepted.command_id.clone());
                seen.inherited.extend(commands.map(|command| (before.clone(), command)));
            }
            None => {}
        }
    }

    /// A message sets out.
    pub(crate) fn on_sent(&self, sent: &Sent<'_>) {
        self.books.trace.sent(sent);
        if sent.key.strip_prefix("topic/") == Some(topics::GLOBAL_EVENTS.name()) {
            return self.on_published(sent);
        }
        if let Some((node, presence)) = sent.announcement(topics::MASTER) {
            if presence.leading {
                self.on_leader(&node, &presence);
            }
            return;
        }
        let Some(stream) = sent.key.strip_prefix("stream/") else { return };
        if !stream.starts_with(topics::GENERATE.name()) {
            return;
        }
        let seen = self.lock();
        let Some((who, view)) = seen.views.get(&sent.from) else { return };
        let Some(request) = sent.read::<GenerateRequest>() else { return };
        let holds = routed_to_ready::check(who, &view.borrow(), &request);
        drop(seen);
        self.books.findings.check(routed_to_ready::NAME, holds);
    }

    fn on_published(&self, sent: &Sent<'_>) {
        let mut seen = self.lock();
        if seen.published == sent.bytes {
            return;
        }
        seen.published = sent.bytes.to_vec();
        drop(seen);
        if let Some(GlobalEvents { session, events }) = sent.read() {
            self.on_events(&format!("the master in process {}", sent.from), &session, &events);
        }
    }

    /// A master gave its session up. Those that start at the same time find each other so, before there are clients.
    pub(crate) fn on_meeting(&self) {
        if self.books.trace.elapsed() > CLIENTS_BEGIN {
            self.count(|tally| tally.meetings += 1);
        }
    }

    /// Counts something.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.lock().tally);
    }

    /// What was counted.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// Whether the master of that node votes in a session, as far as its latest leader told.
    pub(crate) fn votes(&self, session: &SessionId, node: &NodeId) -> bool {
        self.lock().voters.get(session).is_some_and(|(_, voters)| voters.contains(node))
    }

    /// What everybody follows who follows, in this moment.
    pub(crate) fn followers(&self) -> Vec<Final> {
        let seen = self.lock();
        let followers = seen.views.values().map(|(who, view)| {
            let view = view.borrow();
            Final { who: who.clone(), session: view.session.clone(), state: view.state.clone() }
        });
        followers.collect()
    }

    /// Compares what clients were told with what happened. For the end, when all is known.
    pub(crate) fn settle(&self, finals: Vec<Final>, apart: bool) {
        let happened = self.lock().happened();
        for one in &finals {
            self.on_state(&one.who, &one.state);
        }
        let (told, happened) = (&self.books.oracle.told(), &happened);
        let finals: Vec<_> = finals.into_iter().map(|one| (one.who, one.state)).collect();
        for detail in (Accounts { told, happened, finals: &finals, apart }).check() {
            self.books.findings.check(acknowledged_stays::NAME, Err(detail));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn happened(&self) -> Happened {
        let mut happened = Happened::new();
        for (session, event) in self.logs.events() {
            if let Event::CommandAccepted { command_id, .. } = &event.event {
                *happened.entry(command_id.clone()).or_default().entry(session.clone()).or_default() += 1;
            }
        }
        for (session, command_id) in &self.inherited {
            let known = happened.entry(command_id.clone()).or_default();
            if known.is_empty() {
                known.insert(session.clone(), 1);
            }
        }
        happened
    }

    fn on_voters(&mut self, session: &SessionId, term: u64, voters: &BTreeSet<NodeId>) {
        let known = self.voters.entry(session.clone()).or_default();
        if term < known.0 {
            return;
        }
        let is_full = known.1.len() >= FULL && known.1.len() == voters.len();
        if is_full {
            self.tally.replaced_voters += known.1.difference(voters).count() as u64;
        }
        *known = (term, voters.clone());
    }
}

fn shown(what: Option<&impl ToString>) -> String {
    what.map_or_else(|| "none".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Findings;
    use crate::oracle::Oracle;
    use crate::trace::{Keep, Trace};
    use exo_state::apply;
    use exo_types::{EventIndex, Millis};

    #[test]
    fn what_a_takeover_brings_about_has_happened_once() {
        let session = |generation| SessionId { generation, master_node_id: NodeId::new("a").expect("a good id") };
        let id = |name: &str| CommandId::new(name).expect("a good id");
        let accepted = |name| Event::CommandAccepted { command_id: id(name), task_id: None, instance_id: None };
        let opened = Event::SessionOpened { session: session(1), when: Millis(0) };
        let events = (1..).zip([opened, accepted("applied"), accepted("unacknowledged")]);
        let events: Vec<_> =
            events.map(|(idx, event)| IndexedEvent { idx: EventIndex(idx), origin: None, event }).collect();
        let trace = Trace::new(Keep::Tail(1));
        let books = Books { findings: Findings::new(trace.clone()), trace, oracle: Oracle::default() };
        let observer = Observer::new(books);
        observer.on_events("a", &session(1), &events[..2]);
        let mut state = State::default();
        for event in &events {
            apply(&mut state, event);
        }
        observer.on_log_state("a", &session(2), &Arc::new(state));
        let once = BTreeMap::from([(session(1), 1)]);
        let expected: Happened = ["applied", "unacknowledged"].map(|name| (id(name), once.clone())).into();
        assert_eq!(observer.lock().happened(), expected);
    }
}
