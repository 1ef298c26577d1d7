//! Everybody who has folded up to an index has the same State, it is what the one history leads to, and a sound one.

use super::Holds;
use super::logs_agree::LogsAgree;
use exo_state::{State, apply, check_invariants};
use exo_types::{EventIndex, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const NAME: &str = "States agree";

/// Stands for the events, where a State is compared with what they lead to.
const HISTORY: &str = "the fold of the log";

/// The first State that was seen at each index, and who had it.
#[derive(Default)]
pub(crate) struct StatesAgree {
    seen: BTreeMap<(SessionId, EventIndex), (String, Arc<State>)>,
}

impl StatesAgree {
    /// Somebody has that State. One that has no session yet says nothing. Nobody needs to be at that index too: the
    /// events since the one before tell how it has to be.
    pub(crate) fn on_state(&mut self, who: &str, state: &Arc<State>, history: &LogsAgree) -> Holds {
        let Some(session) = state.session.clone() else { return Ok(()) };
        let idx = state.last_event_applied_idx;
        let key = (session, idx);
        if let Some((first, known)) = self.seen.get(&key) {
            return same(who, state, first, known);
        }
        let before = self.seen.range((key.0.clone(), EventIndex(0))..key.clone()).next_back();
        let expected = before.and_then(|((session, after), (_, before))| {
            let events = history.between(session, *after, idx)?;
            let mut expected = (**before).clone();
            for event in events {
                apply(&mut expected, event);
            }
            Some(expected)
        });
        if let Some(expected) = expected {
            same(who, state, HISTORY, &Arc::new(expected))?;
        }
        self.seen.insert(key, (who.to_owned(), state.clone()));
        check_invariants(state).map_err(|violation| format!("{who} at {idx}: {violation}"))
    }
}

fn same(who: &str, state: &Arc<State>, first: &str, known: &Arc<State>) -> Holds {
    if Arc::ptr_eq(known, state) || known == state {
        return Ok(());
    }
    let idx = state.last_event_applied_idx;
    Err(format!("{who} and {first} differ at {idx}: {}", difference(state, known)))
}

/// The parts in which they differ.
fn difference(one: &State, other: &State) -> String {
    let parts = [
        ("session", one.session == other.session),
        ("commands seen", one.commands_seen == other.commands_seen),
        ("nodes", one.node_identities == other.node_identities && one.node_memory == other.node_memory),
        ("hardware", one.node_hardware == other.node_hardware),
        ("topology", one.topology == other.topology),
        ("models", one.downloads == other.downloads),
        ("instances", one.instances == other.instances),
        ("runners", one.runners == other.runners),
        ("tasks", one.tasks == other.tasks),
        ("origins", one.origins == other.origins),
    ];
    let differ: Vec<&str> = parts.iter().filter(|(_, same)| !same).map(|(part, _)| *part).collect();
    differ.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, IndexedEvent, Millis, NodeId};

    fn session() -> SessionId {
        SessionId { generation: 1, master_node_id: NodeId::new("a").expect("a good id") }
    }

    #[test]
    fn two_states_at_one_index_are_seen() {
        let state = State { session: Some(session()), last_event_applied_idx: EventIndex(4), ..State::default() };
        let other = State { commands_seen: 9, ..state.clone() };
        let (mut invariant, history) = (StatesAgree::default(), LogsAgree::default());
        assert!(invariant.on_state("a", &Arc::new(state.clone()), &history).is_ok());
        assert!(invariant.on_state("b", &Arc::new(state), &history).is_ok());
        let seen = invariant.on_state("c", &Arc::new(other), &history);
        assert!(seen.is_err_and(|detail| detail.contains("commands")));
    }

    #[test]
    fn a_state_that_nobody_shares_is_compared_with_the_events() {
        let mut history = LogsAgree::default();
        let opened = |idx| IndexedEvent {
            idx: EventIndex(idx),
            origin: None,
            event: Event::SessionOpened { session: session(), when: Millis(idx) },
        };
        let mut folded = State::default();
        apply(&mut folded, &opened(1));
        let first = Arc::new(folded.clone());
        for idx in 2..=3 {
            apply(&mut folded, &opened(idx));
            assert!(history.on_event("a", &session(), &opened(idx)).is_ok());
        }
        let mut invariant = StatesAgree::default();
        assert!(invariant.on_state("a", &first, &history).is_ok());
        let wrong = State { commands_seen: 9, ..folded.clone() };
        assert!(invariant.on_state("b", &Arc::new(wrong), &history).is_err());
        assert!(invariant.on_state("b", &Arc::new(folded), &history).is_ok());
    }
}
