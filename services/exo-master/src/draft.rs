//! Events that are about to be written, and the State that they would make.

use exo_state::{FactAge, State, apply};
use exo_types::{Event, FactId, IndexedEvent, LocalForwarderEvent, RunnerId};

/// A draft. Decisions within it see what was decided before them.
#[derive(Debug)]
pub(crate) struct Draft {
    state: State,
    events: Vec<IndexedEvent>,
}

impl Draft {
    pub(crate) fn new(state: State) -> Self {
        Self { state, events: Vec::new() }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn into_parts(self) -> (State, Vec<IndexedEvent>) {
        (self.state, self.events)
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
        let event = IndexedEvent { idx: self.state.last_event_applied_idx.next(), origin, event };
        apply(&mut self.state, &event);
        self.events.push(event);
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
