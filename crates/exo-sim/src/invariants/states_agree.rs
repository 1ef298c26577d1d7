//! Everybody who has folded up to an index has the same State, and it is a sound one.

use super::Holds;
use exo_state::{State, check_invariants};
use exo_types::{EventIndex, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const NAME: &str = "States agree";

/// The first State that was seen at each index, and who had it.
#[derive(Default)]
pub(crate) struct StatesAgree {
    seen: BTreeMap<(SessionId, EventIndex), (String, Arc<State>)>,
}

impl StatesAgree {
    /// Somebody has that State. One that has no session yet says nothing.
    pub(crate) fn on_state(&mut self, who: &str, state: &Arc<State>) -> Holds {
        let Some(session) = state.session.clone() else { return Ok(()) };
        let idx = state.last_event_applied_idx;
        let (first, known) = match self.seen.entry((session, idx)) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert((who.to_owned(), state.clone()));
                return check_invariants(state).map_err(|violation| format!("{who} at {idx}: {violation}"));
            }
            std::collections::btree_map::Entry::Occupied(place) => place.into_mut(),
        };
        if Arc::ptr_eq(known, state) || known == state {
            return Ok(());
        }
        Err(format!("{who} and {first} differ at {idx}: {}", difference(state, known)))
    }
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
    use exo_types::NodeId;

    #[test]
    fn two_states_at_one_index_are_seen() {
        let node = |name| NodeId::new(name).expect("a good id");
        let session = Some(SessionId { generation: 1, master_node_id: node("a") });
        let state = State { session, last_event_applied_idx: EventIndex(4), ..State::default() };
        let other = State { commands_seen: 9, ..state.clone() };
        let mut invariant = StatesAgree::default();
        assert!(invariant.on_state("a", &Arc::new(state.clone())).is_ok());
        assert!(invariant.on_state("b", &Arc::new(state)).is_ok());
        assert!(invariant.on_state("c", &Arc::new(other)).is_err_and(|detail| detail.contains("commands")));
    }
}
