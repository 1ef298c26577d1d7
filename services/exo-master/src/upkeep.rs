//! What the master does of itself: loses nodes, places anew what they held, follows tasks, grants wishes. Pure.

use crate::decide::decide;
use crate::draft::Draft;
use exo_placement::{Defaults, Problem, shard_memory, solve};
use exo_state::State;
use exo_types::{
    Command, CommandId, Event, Instance, InstanceId, ModelId, NodeId, PlaceInstance, RunnerStatus, Task, TaskStatus,
};

/// Adds what has to be done to the draft. Returns what could not be, for people.
pub(crate) fn upkeep(draft: &mut Draft, lost: &[NodeId], wishes: &[ModelId], defaults: Defaults) -> Vec<String> {
    lose_nodes(draft, lost);
    let mut complaints = place_anew(draft, defaults);
    follow_tasks(draft);
    complaints.extend(grant_wishes(draft, wishes, defaults));
    complaints
}

fn lose_nodes(draft: &mut Draft, lost: &[NodeId]) {
    for node_id in lost {
        if draft.state().topology.nodes.contains(node_id) {
            tracing::warn!(node = %node_id, "the node is lost: no process of it has been there for the grace period");
            draft.push(Event::NodeTimedOut { node_id: node_id.clone() });
        }
    }
}

/// Instances that lost a node go where they fit. Where they fit nowhere they stay as they are: the node may come back.
fn place_anew(draft: &mut Draft, defaults: Defaults) -> Vec<String> {
    let state = draft.state();
    let broken: Vec<Instance> =
        state.instances.values().filter(|instance| state.lost_nodes(instance).next().is_some()).cloned().collect();
    let mut complaints = Vec::new();
    for instance in broken {
        match replacement(draft.state(), &instance, defaults) {
            Ok(replacement) => {
                tracing::info!(model = %instance.model_card().model_id, "placed anew after the loss of a node");
                draft.push(Event::InstanceDeleted { instance_id: instance.instance_id });
                draft.push(Event::InstanceCreated { instance: replacement });
            }
            Err(reason) => {
                let model = &instance.model_card().model_id;
                complaints.push(format!("instance {} of {model} lost a node: {reason}", instance.instance_id));
            }
        }
    }
    complaints
}

/// The same model with the same context, on as many nodes as before or else on as few as hold it.
fn replacement(state: &State, instance: &Instance, defaults: Defaults) -> Result<Instance, String> {
    let card = instance.model_card();
    let without = without(state, instance);
    let world = instance.shard_assignments.runner_to_shard.len() as u32;
    let request = |min_nodes| PlaceInstance {
        model_id: card.model_id.clone(),
        sharding: instance.sharding,
        min_nodes,
        node_ids: Vec::new(),
        context_length: Some(instance.context_length),
    };
    let defaults = Defaults { max_sequences: instance.max_sequences, ..defaults };
    let on = |min_nodes| solve(&Problem::from_state(&without, &request(min_nodes), card, defaults));
    let solution = on(world).or_else(|_| on(1)).map_err(|reason| reason.to_string())?;
    let instance_id = next_name(&instance.instance_id, state)?;
    Ok(solution.into_instance(instance_id, card.clone()))
}

/// The State without the instance, with the memory of its runners given back.
fn without(state: &State, instance: &Instance) -> State {
    let mut without = state.clone();
    without.instances.remove(&instance.instance_id);
    for (node, runner, shard) in instance.ranks() {
        let loaded = matches!(
            without.runners.remove(runner),
            Some(
                RunnerStatus::RunnerLoaded { .. }
                    | RunnerStatus::RunnerConnecting { .. }
                    | RunnerStatus::RunnerReady { .. }
            )
        );
        if let Some(memory) = without.node_memory.get_mut(node).filter(|_| loaded) {
            let (context, sequences) = (instance.context_length, instance.max_sequences);
            let held = shard_memory(instance.model_card(), shard.len(), shard.device_rank == 0, context, sequences);
            memory.ram_available = memory.ram_available.saturating_add(held).min(memory.ram_total);
        }
    }
    without
}

/// `name`, `name.2`, `name.3`: the same instance, placed again. The index of the log makes it unique.
fn next_name(id: &InstanceId, state: &State) -> Result<InstanceId, String> {
    let stem = id.as_str().split_once(".again-").map_or(id.as_str(), |(stem, _)| stem);
    let name = format!("{stem}.again-{}", state.last_event_applied_idx.next());
    InstanceId::new(name).map_err(|error| error.to_string())
}

/// Tasks follow the runners of their instance.
fn follow_tasks(draft: &mut Draft) {
    let state = draft.state();
    let events: Vec<Event> = state.tasks.values().filter_map(|task| news_of(state, task)).collect();
    for event in events {
        draft.push(event);
    }
}

fn news_of(state: &State, task: &Task) -> Option<Event> {
    if task.task_status.is_final() {
        return None;
    }
    let instance = state.instances.get(&task.instance_id)?;
    let task_id = task.task_id.clone();
    if let Some(error_message) = hopeless(state, instance) {
        return Some(Event::TaskFailed { task_id, error_message });
    }
    let task_status = state.progress_of(instance);
    let news = task_status != task.task_status && task_status != TaskStatus::Pending;
    news.then_some(Event::TaskStatusUpdated { task_id, task_status })
}

/// Why the instance will not come to life, if one of its runners cannot be helped by another try.
fn hopeless(state: &State, instance: &Instance) -> Option<String> {
    instance.shard_assignments.runner_to_shard.keys().find_map(|runner| match state.runners.get(runner) {
        Some(RunnerStatus::RunnerFailed { failure }) if !failure.retry => Some(failure.error_message.clone()),
        _ => None,
    })
}

/// Models that the configuration wants and that nobody has placed.
fn grant_wishes(draft: &mut Draft, wishes: &[ModelId], defaults: Defaults) -> Vec<String> {
    let mut complaints = Vec::new();
    for model_id in wishes {
        if draft.state().instances_of(model_id).next().is_some() {
            continue;
        }
        let command_id = CommandId::new(format!("wish-{}", draft.state().last_event_applied_idx.next()));
        let command_id = command_id.expect("letters, a hyphen and digits are an id");
        let command = Command::PlaceInstance(PlaceInstance {
            model_id: model_id.clone(),
            sharding: exo_types::Sharding::Pipeline,
            min_nodes: 1,
            node_ids: Vec::new(),
            context_length: None,
        });
        match decide(draft.state(), &command_id, &command, defaults) {
            Ok(decision) => decision.events.into_iter().for_each(|event| draft.push(event)),
            Err(refusal) => complaints.push(format!("models.place: {refusal}")),
        }
    }
    complaints
}

#[cfg(test)]
mod tests;
