//! Events that are about to be written, and the State that they would make.

use exo_log::DraftEvent;
use exo_state::{FactAge, State, apply};
use exo_types::{Event, EventIndex, FactId, IndexedEvent, LocalForwarderEvent, RunnerId};

/// The State as it will be once everything proposed is written. Decisions see what was decided before them, also what
/// is still on its way to the disks.
#[derive(Debug)]
pub(crate) struct Draft {
    state: State,
    base: EventIndex,
    events: Vec<DraftEvent>,
}

impl Draft {
    pub(crate) fn new(state: State) -> Self {
        Self { base: state.last_event_applied_idx, state, events: Vec::new() }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// What was added since the last call, and the index that it follows.
    pub(crate) fn take(&mut self) -> (EventIndex, Vec<DraftEvent>) {
        let base = std::mem::replace(&mut self.base, self.state.last_event_applied_idx);
        (base, std::mem::take(&mut self.events))
    }

    /// Adds an event of the master's own.
    pub(crate) fn push(&mut self, event: Event) {
        self.add(None, event);
    }

    /// Adds a fact, if it is the next of its origin; others are sent again when it is their turn. One that is not about
    /// its origin changes nothing but its number: otherwise its sender would tell it for ever, and nothing behind it.
    pub(crate) fn push_fact(&mut self, fact: LocalForwarderEvent) {
        let id = fact.fact_id();
        if Some(&fact.session) != self.state.session.as_ref() || self.state.origins.age(&id) != FactAge::Next {
            return;
        }
        if !is_own_fact(&self.state, &fact) {
            tracing::warn!(node = %fact.origin, "a node told something that is not its own to tell; not taken up");
            return self.add(Some(id), Event::FactRefused);
        }
        self.add(Some(id), fact.event);
    }

    fn add(&mut self, origin: Option<FactId>, event: Event) {
        let indexed = IndexedEvent { idx: self.state.last_event_applied_idx.next(), origin, event };
        apply(&mut self.state, &indexed);
        self.events.push(DraftEvent { origin: indexed.origin, event: indexed.event });
    }
}

/// Whether a node may tell that: about itself, its models, its ways and its runners. What a newer version tells is
/// passed on unread.
fn is_own_fact(state: &State, fact: &LocalForwarderEvent) -> bool {
    let about = match &fact.event {
        Event::NodeGatheredInfo { node_id, .. }
        | Event::NodeResourcesChanged { node_id, .. }
        | Event::NodeHardwareChanged { node_id, .. }
        | Event::NodeDownloadRemoved { node_id, .. } => node_id,
        Event::NodeDownloadProgress { download } => &download.node_id,
        Event::TopologyEdgeCreated { connection } | Event::TopologyEdgeDeleted { connection } => &connection.source,
        Event::RunnerStatusUpdated { runner_id, .. } => return may_tell_of(state, fact, runner_id),
        Event::Unknown(_) => return true,
        _ => return false,
    };
    *about == fact.origin
}

/// A runner that no instance has any more is everybody's to tell of: it changes nothing.
fn may_tell_of(state: &State, fact: &LocalForwarderEvent, runner: &RunnerId) -> bool {
    let Some(instance) = state.instance_of_runner(runner) else { return true };
    instance.shard_assignments.node_to_runner.get(&fact.origin) == Some(runner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, decide_ok, fold, place, told};
    use exo_types::{Memory, NodeResources, OriginEpoch, OriginSequence, RunnerStatus};

    #[test]
    fn a_fact_that_is_not_ones_own_to_tell_holds_nothing_back() {
        let state = cluster(&[("a", 2000), ("b", 2000)]);
        let state = fold(state.clone(), decide_ok(&state, "c1", &place("m", 1)).events);
        let instance = state.instances.values().next().expect("placed");
        let (owner, runner) = instance.head().expect("it has a rank 0");
        let stranger = state.topology.nodes.iter().find(|node| *node != owner).expect("two nodes").clone();
        let runner = runner.clone();
        let resources = NodeResources { ram_total: Memory::mib(8000), ram_available: Memory::mib(7) };
        let facts = [
            told(runner.as_str(), RunnerStatus::RunnerIdle),
            Event::NodeResourcesChanged { node_id: stranger.clone(), resources },
        ];
        let mut draft = Draft::new(state.clone());
        for (sequence, event) in (1..).zip(facts) {
            draft.push_fact(LocalForwarderEvent {
                origin: stranger.clone(),
                origin_epoch: OriginEpoch(1),
                sequence: OriginSequence(sequence),
                session: state.session.clone().expect("a session"),
                event,
            });
        }
        assert_eq!(draft.state().runners.get(&runner), None, "it was not taken up");
        assert_eq!(draft.state().free_memory(&stranger), Memory::mib(7), "what came behind it was");
        assert_eq!(draft.take().1.first().map(|first| &first.event), Some(&Event::FactRefused));
    }
}
