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

    /// Adds a fact, if it is the next of its origin and about the origin. Others are sent again when it is their turn.
    pub(crate) fn push_fact(&mut self, fact: LocalForwarderEvent) {
        let id = fact.fact_id();
        if Some(&fact.session) != self.state.session.as_ref() || self.state.origins.age(&id) != FactAge::Next {
            return;
        }
        if !is_own_fact(&self.state, &fact) {
            tracing::warn!(node = %fact.origin, "a node told something that is not its own to tell; not taken up");
            return;
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
