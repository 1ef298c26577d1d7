//! Events about placed models and their runners.

use super::{Effect, Skip, invalid, tasks, unknown};
use crate::State;
use exo_types::{Instance, InstanceId, RunnerId, RunnerStatus};
use std::collections::btree_map::Entry;

pub(super) fn created(state: &mut State, instance: &Instance) -> Effect {
    if state.instances.contains_key(&instance.instance_id) {
        return Err(invalid(format!("instance {} exists", instance.instance_id)));
    }
    instance.check().map_err(|error| invalid(error.to_string()))?;
    if let Some(taken) = instance.shard_assignments.runner_to_shard.keys().find(|id| has_runner(state, id)) {
        return Err(invalid(format!("runner {taken} belongs to another instance")));
    }
    if let Some(intent) = &instance.intent {
        // A late repetition must not bring back what its user took away.
        if !state.intents.contains_key(intent) {
            return Err(unknown("intent", intent));
        }
        if let Some(other) = state.instance_of_intent(intent) {
            return Err(invalid(format!("intent {intent} has instance {}", other.instance_id)));
        }
    }
    state.instances.insert(instance.instance_id.clone(), instance.clone());
    Ok(())
}

pub(super) fn deleted(state: &mut State, id: &InstanceId) -> Effect {
    let instance = state.instances.remove(id).ok_or_else(|| unknown("instance", id))?;
    for runner in instance.shard_assignments.runner_to_shard.keys() {
        state.runners.remove(runner);
    }
    tasks::cancel_open(state, id);
    Ok(())
}

/// A runner that no instance has (any more) is not taken up: its instance was deleted while the fact was on its way.
pub(super) fn runner_status_updated(state: &mut State, id: &RunnerId, status: &RunnerStatus) -> Effect {
    // One that was heard of has an instance: runners leave with it. The search is for the first word of one only.
    if !state.runners.contains_key(id) && !has_runner(state, id) {
        return Err(unknown("runner", id));
    }
    if *status == RunnerStatus::RunnerShutdown {
        return state.runners.remove(id).map(|_| ()).ok_or(Skip::NoChange);
    }
    match state.runners.entry(id.clone()) {
        Entry::Occupied(mut known) => super::set(known.get_mut(), status.clone()),
        Entry::Vacant(place) => {
            place.insert(status.clone());
            Ok(())
        }
    }
}

fn has_runner(state: &State, id: &RunnerId) -> bool {
    state.instances.values().any(|instance| instance.shard_assignments.runner_to_shard.contains_key(id))
}
