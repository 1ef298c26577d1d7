//! From a command to events, or to a refusal with the reason. Pure.

mod membership;
mod nodes;

use exo_placement::{Defaults, Infeasible, Problem, RUNNER_RESERVE, rank_memory, solve};
use exo_state::State;
use exo_types::{
    Command, CommandId, Event, Instance, InstanceId, Intent, IntentId, Millis, NodeId, PlaceInstance, Refusal,
    RefusalCode, Task, TaskId, TaskStatus,
};
use std::collections::BTreeSet;

/// Tasks that have ended and are kept for people to look at.
const ENDED_TASKS: usize = 128;

/// What a command leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// In this order.
    pub events: Vec<Event>,
    /// What is under way now.
    pub task_id: Option<TaskId>,
    /// The instance that was made or taken away.
    pub instance_id: Option<InstanceId>,
}

/// What a decision depends on besides the State.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// What a placement gets that asks for nothing else.
    pub defaults: Defaults,
    /// The time.
    pub now: Millis,
    /// The nodes whose masters take part in the log.
    pub masters: BTreeSet<NodeId>,
    /// Those of them whose masters run now.
    pub running_masters: BTreeSet<NodeId>,
}

impl Decision {
    fn of(events: Vec<Event>) -> Self {
        Self { events, task_id: None, instance_id: None }
    }
}

/// Decides a command in a State. Names of what it makes come from the command's own id, so that the same command
/// decided twice makes the same things.
pub fn decide(
    state: &State,
    command_id: &CommandId,
    command: &Command,
    circumstances: &Circumstances,
) -> Result<Decision, Refusal> {
    match command {
        Command::PlaceInstance(request) => place(state, command_id, request, circumstances.defaults),
        Command::CreateInstance { instance } => {
            check_instance(state, instance)?;
            let intent = Intent::behind(intent_id(command_id)?, instance);
            create(state, command_id, instance.clone(), intent)
        }
        Command::DeleteInstance { instance_id } => delete(state, instance_id),
        Command::DrainNode { node_id, drained } => nodes::drain(state, node_id, *drained),
        Command::RemoveNode { node_id } => nodes::remove(state, node_id, circumstances),
        Command::CreateJoinToken { token } => membership::create_token(state, token, circumstances.now),
        Command::DeleteJoinToken { id } => membership::delete_token(state, id),
        Command::AdmitNode { node_id, key_fingerprint, token } => {
            membership::admit(state, node_id, key_fingerprint, token.as_ref())
        }
        Command::RevokeNode { node_id } => membership::revoke(state, node_id),
    }
}

fn refuse<T>(code: RefusalCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, message))
}

fn place(
    state: &State,
    command_id: &CommandId,
    request: &PlaceInstance,
    defaults: Defaults,
) -> Result<Decision, Refusal> {
    let cards = state.model_cards();
    let Some(card) = cards.get(&request.model_id) else {
        let known: Vec<_> = cards.keys().map(|model| model.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!(
            "no node has a model {}; models in the cluster: {known}; put its file into a model directory",
            request.model_id
        );
        return refuse(RefusalCode::NotFound, message);
    };
    if let Some(missing) = request.node_ids.iter().find(|node| !state.topology.nodes.contains(node)) {
        return refuse(RefusalCode::NotFound, format!("there is no node {missing} in the cluster"));
    }
    let problem = Problem::from_state(state, request, card, defaults);
    let solution = solve(&problem).or_else(|reason| refuse(refusal_code(&reason), reason.to_string()))?;
    let instance_id = InstanceId::new(command_id.as_str()).or_else(|e| refuse(RefusalCode::Invalid, e.to_string()))?;
    let intent = Intent { id: intent_id(command_id)?, place: request.clone(), max_sequences: None };
    create(state, command_id, solution.into_instance(instance_id, (*card).clone()), intent)
}

fn intent_id(command_id: &CommandId) -> Result<IntentId, Refusal> {
    IntentId::new(command_id.as_str()).or_else(|error| refuse(RefusalCode::Invalid, error.to_string()))
}

fn refusal_code(reason: &Infeasible) -> RefusalCode {
    match reason {
        Infeasible::Memory { .. } | Infeasible::TooFewNodes { .. } | Infeasible::NoNodes { .. } => {
            RefusalCode::DoesNotFit
        }
        Infeasible::NoFile { .. } => RefusalCode::NotFound,
        Infeasible::TooFewLayers { .. }
        | Infeasible::TooFewHeads { .. }
        | Infeasible::Context { .. }
        | Infeasible::Card { .. } => RefusalCode::Invalid,
    }
}

fn create(state: &State, command_id: &CommandId, instance: Instance, intent: Intent) -> Result<Decision, Refusal> {
    let instance_id = instance.instance_id.clone();
    if state.instances.contains_key(&instance_id) {
        return refuse(RefusalCode::Invalid, format!("instance {instance_id} exists already"));
    }
    if state.intents.contains_key(&intent.id) {
        return refuse(RefusalCode::Invalid, format!("intent {} exists already", intent.id));
    }
    let runners = instance.shard_assignments.runner_to_shard.keys();
    if let Some(taken) = runners.into_iter().find(|runner| state.instance_of_runner(runner).is_some()) {
        return refuse(RefusalCode::Invalid, format!("runner {taken} belongs to another instance; name it otherwise"));
    }
    let task_id = TaskId::new(command_id.as_str()).or_else(|e| refuse(RefusalCode::Invalid, e.to_string()))?;
    let task = Task {
        task_id: task_id.clone(),
        instance_id: instance_id.clone(),
        task_status: TaskStatus::Pending,
        error_message: None,
    };
    let mut events = forget_old_tasks(state);
    let instance = Instance { intent: Some(intent.id.clone()), ..instance };
    events.extend([Event::IntentRecorded { intent }, Event::InstanceCreated { instance }, Event::TaskCreated { task }]);
    Ok(Decision { events, task_id: Some(task_id), instance_id: Some(instance_id) })
}

/// Takes the instance away, and the wish behind it. A wish that has no instance is named by the first it had.
fn delete(state: &State, instance_id: &InstanceId) -> Result<Decision, Refusal> {
    let mut events = Vec::new();
    let intent = match state.instances.get(instance_id) {
        Some(instance) => {
            events.push(Event::InstanceDeleted { instance_id: instance_id.clone() });
            instance.intent.clone()
        }
        None => {
            let named = state.open_intents().find(|intent| intent.id.as_str() == instance_id.as_str());
            named.map(|intent| intent.id.clone())
        }
    };
    events.extend(intent.map(|intent_id| Event::IntentWithdrawn { intent_id }));
    if events.is_empty() {
        return refuse(RefusalCode::NotFound, format!("there is no instance {instance_id}"));
    }
    Ok(Decision { events, task_id: None, instance_id: Some(instance_id.clone()) })
}

/// A manual split is taken as it is, if it can be.
fn check_instance(state: &State, instance: &Instance) -> Result<(), Refusal> {
    if let Err(error) = instance.check() {
        return refuse(RefusalCode::Invalid, error.to_string());
    }
    let card = instance.model_card();
    let longest = card.context_length;
    if instance.context_length == 0 || instance.context_length > longest || instance.max_sequences == 0 {
        let message = format!("contextLength must be 1 to {longest} and maxSequences at least 1");
        return refuse(RefusalCode::Invalid, message);
    }
    instance.ranks().into_iter().try_for_each(|(node, _, shard)| {
        if !state.topology.nodes.contains(node) {
            return refuse(RefusalCode::NotFound, format!("there is no node {node} in the cluster"));
        }
        if !state.is_usable(node) {
            return refuse(RefusalCode::Invalid, format!("node {node} is drained; end that with `exo node undrain {node}`"));
        }
        let own_card = state.downloads.get(node).into_iter().flatten().find(|download| {
            download.model_card.model_id == card.model_id && download.is_complete()
        });
        match own_card {
            None => refuse(RefusalCode::NotFound, format!("node {node} does not have the file of {}", card.model_id)),
            Some(download) if download.model_card != *card => {
                refuse(RefusalCode::Invalid, format!("node {node} has another file under the name {}", card.model_id))
            }
            Some(_) => {
                let (context, sequences) = (instance.context_length, instance.max_sequences);
                let needed = rank_memory(card, shard, context, sequences);
                let free = state.free_memory(node);
                let message = || {
                    format!(
                        "layers {}..{} of {} need {needed} on node {node} ({RUNNER_RESERVE} of it for the runner), {free} is free",
                        shard.start_layer, shard.end_layer, card.model_id
                    )
                };
                if needed <= free { Ok(()) } else { refuse(RefusalCode::DoesNotFit, message()) }
            }
        }
    })
}

/// Ended tasks beyond those that are kept. Ids of commands begin with the time, so the first are the oldest.
fn forget_old_tasks(state: &State) -> Vec<Event> {
    let ended: Vec<_> = state.tasks.values().filter(|task| task.task_status.is_final()).collect();
    let surplus = ended.len().saturating_sub(ENDED_TASKS - 1);
    ended.into_iter().take(surplus).map(|task| Event::TaskDeleted { task_id: task.task_id.clone() }).collect()
}

#[cfg(test)]
mod tests;
