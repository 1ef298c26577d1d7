//! What the master does of itself: loses nodes, places anew what they held, restores what is asked for, follows tasks,
//! grants wishes. Pure.

use crate::decide::{Circumstances, decide};
use crate::draft::Draft;
use exo_placement::{Defaults, Problem, Solution, rank_memory, solve};
use exo_state::State;
use exo_types::{
    Command, CommandId, Event, Instance, InstanceId, Intent, ModelCard, ModelId, NodeId, PlaceInstance, RunnerStatus,
    Task, TaskStatus,
};
use std::collections::BTreeSet;

/// Nodes that are gone.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// They leave the State.
    pub(crate) now: Vec<NodeId>,
    /// They may be back in a moment; what they held waits for them.
    pub(crate) lately: BTreeSet<NodeId>,
}

/// Adds what has to be done to the draft. Returns what could not be, for people.
pub(crate) fn upkeep(draft: &mut Draft, lost: &Lost, wishes: &[ModelId], circumstances: &Circumstances) -> Vec<String> {
    lose_nodes(draft, &lost.now);
    let mut complaints = place_anew(draft, &lost.lately, circumstances.defaults);
    complaints.extend(restore(draft, circumstances.defaults));
    follow_tasks(draft);
    complaints.extend(grant_wishes(draft, wishes, circumstances));
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

/// Instances that lost a node, or stand on one that is drained, go where they fit. Where they fit nowhere they stay as
/// they are: a lost node may come back, a drained one still serves.
fn place_anew(draft: &mut Draft, lately: &BTreeSet<NodeId>, defaults: Defaults) -> Vec<String> {
    let state = draft.state();
    let displaced = |instance: &&Instance| {
        let mut nodes = instance.shard_assignments.node_to_runner.keys();
        nodes.any(|node| !state.is_usable(node) && !lately.contains(node))
    };
    let displaced: Vec<Instance> = state.instances.values().filter(displaced).cloned().collect();
    let mut complaints = Vec::new();
    for instance in displaced {
        match replacement(draft.state(), &instance, defaults) {
            Ok(replacement) => {
                let (old, new) = (&instance.instance_id, &replacement.instance_id);
                tracing::info!(%old, %new, model = %instance.model_card().model_id, "placed anew: a node is lost or drained");
                draft.push(Event::InstanceDeleted { instance_id: instance.instance_id });
                draft.push(Event::InstanceCreated { instance: replacement });
            }
            Err(reason) => {
                let model = &instance.model_card().model_id;
                let id = &instance.instance_id;
                complaints.push(format!("instance {id} of {model} has a node that is lost or drained: {reason}"));
            }
        }
    }
    complaints
}

/// The same model with the same context, on as many nodes as before or else on as few as hold it; on those that were
/// named, if any were.
fn replacement(state: &State, instance: &Instance, defaults: Defaults) -> Result<Instance, String> {
    let card = instance.model_card();
    let intent = instance.intent.as_ref().and_then(|id| state.intents.get(id));
    let request = PlaceInstance {
        model_id: card.model_id.clone(),
        sharding: instance.sharding,
        min_nodes: u32::try_from(instance.shard_assignments.runner_to_shard.len()).unwrap_or(u32::MAX),
        node_ids: intent.map(|intent| intent.place.node_ids.clone()).unwrap_or_default(),
        context_length: Some(instance.context_length),
    };
    let defaults = Defaults { max_sequences: instance.max_sequences, ..defaults };
    let solution = solve_or_shrink(&without(state, instance), &request, card, defaults)?;
    let instance_id = next_name(instance.instance_id.as_str(), state)?;
    Ok(Instance { intent: instance.intent.clone(), ..solution.into_instance(instance_id, card.clone()) })
}

fn solve_or_shrink(
    state: &State,
    request: &PlaceInstance,
    card: &ModelCard,
    defaults: Defaults,
) -> Result<Solution, String> {
    let on = |min_nodes| {
        let request = PlaceInstance { min_nodes, ..request.clone() };
        solve(&Problem::from_state(state, &request, card, defaults))
    };
    on(request.min_nodes).or_else(|_| on(1)).map_err(|reason| reason.to_string())
}

/// What is asked for and has no instance gets one, as soon as it fits.
fn restore(draft: &mut Draft, defaults: Defaults) -> Vec<String> {
    let open: Vec<Intent> = draft.state().open_intents().cloned().collect();
    let mut complaints = Vec::new();
    for intent in open {
        match granted(draft.state(), &intent, defaults) {
            Ok(instance) => {
                let (intent, instance_id) = (&intent.id, &instance.instance_id);
                tracing::info!(%intent, %instance_id, "placed again: it is still asked for");
                draft.push(Event::InstanceCreated { instance });
            }
            Err(reason) => {
                let (id, model) = (&intent.id, &intent.place.model_id);
                complaints.push(format!("{model} is asked for by {id} and has no instance: {reason}"));
            }
        }
    }
    complaints
}

fn granted(state: &State, intent: &Intent, defaults: Defaults) -> Result<Instance, String> {
    let cards = state.model_cards();
    let card = cards.get(&intent.place.model_id).ok_or_else(|| "no node that is there has its file".to_owned())?;
    let max_sequences = intent.max_sequences.unwrap_or(defaults.max_sequences);
    let solution = solve_or_shrink(state, &intent.place, card, Defaults { max_sequences, ..defaults })?;
    let instance_id = next_name(intent.id.as_str(), state)?;
    Ok(Instance { intent: Some(intent.id.clone()), ..solution.into_instance(instance_id, (*card).clone()) })
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
            let held = rank_memory(instance.model_card(), shard, context, sequences);
            memory.ram_available = memory.ram_available.saturating_add(held).min(memory.ram_total);
        }
    }
    without
}

/// `name`, `name.2`, `name.3`: the same instance, placed again. The index of the log makes it unique.
fn next_name(id: &str, state: &State) -> Result<InstanceId, String> {
    let stem = id.split_once(".again-").map_or(id, |(stem, _)| stem);
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
fn grant_wishes(draft: &mut Draft, wishes: &[ModelId], circumstances: &Circumstances) -> Vec<String> {
    let mut complaints = Vec::new();
    for model_id in wishes {
        let is_asked_for = draft.state().open_intents().any(|intent| intent.place.model_id == *model_id);
        if is_asked_for || draft.state().instances_of(model_id).next().is_some() {
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
        match decide(draft.state(), &command_id, &command, circumstances) {
            Ok(decision) => decision.events.into_iter().for_each(|event| draft.push(event)),
            Err(refusal) => complaints.push(format!("models.place: {refusal}")),
        }
    }
    complaints
}

#[cfg(test)]
mod exo_cases;
#[cfg(test)]
mod tests;
