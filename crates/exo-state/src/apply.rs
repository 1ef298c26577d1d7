//! The fold.

mod instances;
mod intents;
mod membership;
mod nodes;
mod tasks;

use crate::{AcceptedCommand, FactAge, State, lineage};
use exo_types::{Event, EventIndex, IndexedEvent};

/// Why an event changed nothing but the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// It says what the State already says.
    NoChange,
    /// Its fact was applied before.
    Repeated,
    /// It speaks of a node, instance, runner or task that the State does not have.
    Unknown {
        /// Its name, with its kind.
        what: String,
    },
    /// It contradicts the State or itself.
    Invalid {
        /// How.
        why: String,
    },
    /// It is of a newer version.
    NewerVersion {
        /// The event's name.
        name: String,
    },
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The State is another one now.
    Changed,
    /// Only the index moved on.
    Skipped(Skip),
    /// Not the next event: the State is as it was, index included.
    OutOfOrder {
        /// The index that is next.
        expected: EventIndex,
        /// The index that came.
        got: EventIndex,
    },
}

/// What an event does, or why it does nothing.
type Effect = Result<(), Skip>;

/// Folds one event into the State: total, deterministic, the same on every node.
///
/// The index moves on with every event that is next, also when the event means nothing here.
pub fn apply(state: &mut State, event: &IndexedEvent) -> Applied {
    let expected = state.last_event_applied_idx.next();
    // Behind the largest index there is none.
    if event.idx != expected || event.idx == state.last_event_applied_idx {
        return Applied::OutOfOrder { expected, got: event.idx };
    }
    state.last_event_applied_idx = event.idx;
    if let Some(fact) = &event.origin {
        if state.origins.age(fact) == FactAge::Repeated {
            return Applied::Skipped(Skip::Repeated);
        }
        state.origins.record(fact, event.idx);
    }
    match apply_event(state, &event.event) {
        Ok(()) => {
            lineage::note(state, &event.event);
            Applied::Changed
        }
        Err(skip) => Applied::Skipped(skip),
    }
}

fn apply_event(state: &mut State, event: &Event) -> Effect {
    match event {
        Event::SessionOpened { session, when: _ } => {
            lineage::on_opened(state, session);
            set(&mut state.session, Some(session.clone()))
        }
        Event::NodeGatheredInfo { node_id, info } => nodes::gathered_info(state, node_id, info),
        Event::NodeResourcesChanged { node_id, resources } => nodes::resources_changed(state, node_id, *resources),
        Event::NodeHardwareChanged { node_id, hardware } => nodes::hardware_changed(state, node_id, hardware),
        Event::NodeTimedOut { node_id } => nodes::timed_out(state, node_id),
        Event::NodeDownloadProgress { download } => nodes::download_progress(state, download),
        Event::NodeDownloadRemoved { node_id, model_id } => nodes::download_removed(state, node_id, model_id),
        Event::TopologyEdgeCreated { connection } => nodes::edge_created(state, connection),
        Event::TopologyEdgeDeleted { connection } => changed(state.topology.disconnect(connection)),
        Event::InstanceCreated { instance } => instances::created(state, instance),
        Event::InstanceDeleted { instance_id } => instances::deleted(state, instance_id),
        Event::RunnerStatusUpdated { runner_id, runner_status } => {
            instances::runner_status_updated(state, runner_id, runner_status)
        }
        Event::TaskCreated { task } => tasks::created(state, task),
        Event::TaskStatusUpdated { task_id, task_status } => tasks::status_updated(state, task_id, *task_status),
        Event::TaskFailed { task_id, error_message } => tasks::failed(state, task_id, error_message),
        Event::TaskDeleted { task_id } => tasks::deleted(state, task_id),
        Event::FactRefused => Err(Skip::NoChange),
        Event::CommandAccepted { command_id, task_id, instance_id } => {
            let (command_id, task_id, instance_id) = (command_id.clone(), task_id.clone(), instance_id.clone());
            accepted(state, AcceptedCommand { command_id, task_id, instance_id })
        }
        Event::IntentRecorded { intent } => intents::recorded(state, intent),
        Event::IntentWithdrawn { intent_id } => intents::withdrawn(state, intent_id),
        Event::NodeDrained { node_id, drained: true } => changed(state.drained_nodes.insert(node_id.clone())),
        Event::NodeDrained { node_id, drained: false } => changed(state.drained_nodes.remove(node_id)),
        Event::NodeRemoved { node_id } => nodes::removed(state, node_id),
        Event::JoinTokenCreated { token } => membership::token_created(state, token),
        Event::JoinTokenUsed { id, node_id } => membership::token_used(state, id, node_id),
        Event::JoinTokenDeleted { id } => membership::token_deleted(state, id),
        Event::NodeAdmitted { node_id, key_fingerprint } => membership::admitted(state, node_id, key_fingerprint),
        Event::NodeRevoked { node_id } => membership::revoked(state, node_id),
        Event::KeyRevoked { node_id, key_fingerprint } => membership::key_revoked(state, node_id, key_fingerprint),
        Event::SessionAdopted { histories, births } => changed(lineage::adopted(state, histories, births)),
        Event::Unknown(unknown) => Err(Skip::NewerVersion { name: unknown.name.clone() }),
    }
}

/// Told in one event, so that what a command came to counts once, however many events it took.
fn accepted(state: &mut State, command: AcceptedCommand) -> Effect {
    if state.accepted_commands.get(&command.command_id).is_some() {
        return Err(Skip::NoChange);
    }
    state.commands_seen = state.commands_seen.saturating_add(1);
    state.accepted_commands.remember(state.last_event_applied_idx, command);
    Ok(())
}

fn changed(yes: bool) -> Effect {
    if yes { Ok(()) } else { Err(Skip::NoChange) }
}

fn set<T: PartialEq>(place: &mut T, value: T) -> Effect {
    if *place == value {
        return Err(Skip::NoChange);
    }
    *place = value;
    Ok(())
}

fn invalid(why: String) -> Skip {
    Skip::Invalid { why }
}

fn unknown(kind: &str, name: impl std::fmt::Display) -> Skip {
    Skip::Unknown { what: format!("{kind} {name}") }
}

#[cfg(test)]
mod tests;
