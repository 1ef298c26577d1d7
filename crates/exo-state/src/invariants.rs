//! What holds in every State that `apply` made. One function for each; the tests fold at random and ask them all.

use crate::{AcceptedCommands, Lineage, Origins, State};
use exo_types::{IntentId, NodeId, RunnerId};
use std::collections::BTreeSet;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// Where.
    pub detail: String,
}

/// Asks every invariant.
pub fn check_invariants(state: &State) -> Result<(), Violation> {
    runners_belong_to_an_instance(state)?;
    instances_are_whole_and_share_no_runner(state)?;
    named_nodes_are_in_the_topology(state)?;
    edges_have_ends_and_addresses(state)?;
    open_tasks_have_an_instance(state)?;
    a_node_tells_a_model_once(state)?;
    keys_match_their_values(state)?;
    an_intent_has_one_instance_at_most(state)?;
    a_token_that_admits_one_node_admitted_one(state)?;
    a_revoked_key_is_nobodys(state)?;
    what_came_in_is_there(state)?;
    remembered_sessions_are_bounded_and_in_order(state)?;
    remembered_commands_are_bounded(state)?;
    remembered_lives_are_bounded(state)
}

fn verify(holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// Every runner belongs to an instance.
pub fn runners_belong_to_an_instance(state: &State) -> Result<(), Violation> {
    state.runners.keys().try_for_each(|runner| {
        verify(state.instance_of_runner(runner).is_some(), "every runner belongs to an instance", || runner.to_string())
    })
}

/// Every instance covers its model, and no runner is in two of them.
pub fn instances_are_whole_and_share_no_runner(state: &State) -> Result<(), Violation> {
    let mut seen: BTreeSet<&RunnerId> = BTreeSet::new();
    state.instances.values().try_for_each(|instance| {
        let checked = instance.check();
        verify(checked.is_ok(), "every instance covers its model", || format!("{checked:?}"))?;
        let mut runners = instance.shard_assignments.runner_to_shard.keys();
        runners
            .try_for_each(|runner| verify(seen.insert(runner), "no runner is in two instances", || runner.to_string()))
    })
}

/// What is known of a node goes with the node.
pub fn named_nodes_are_in_the_topology(state: &State) -> Result<(), Violation> {
    let told = state.node_identities.keys().chain(state.node_memory.keys()).chain(state.node_hardware.keys());
    told.chain(state.downloads.keys()).try_for_each(|node| in_topology(state, node))
}

/// Every way has both its nodes and at least one address.
pub fn edges_have_ends_and_addresses(state: &State) -> Result<(), Violation> {
    for (source, sinks) in &state.topology.connections {
        in_topology(state, source)?;
        verify(!sinks.is_empty(), "every source has a sink", || source.to_string())?;
        for (sink, addresses) in sinks {
            in_topology(state, sink)?;
            verify(!addresses.is_empty(), "every way has an address", || format!("{source} to {sink}"))?;
        }
    }
    Ok(())
}

/// What is still to come to life exists.
pub fn open_tasks_have_an_instance(state: &State) -> Result<(), Violation> {
    let mut open = state.tasks.values().filter(|task| !task.task_status.is_final());
    open.try_for_each(|task| {
        let exists = state.instances.contains_key(&task.instance_id);
        verify(exists, "every open task has its instance", || task.task_id.to_string())
    })
}

/// One entry for each model of a node, and no node with an empty list.
pub fn a_node_tells_a_model_once(state: &State) -> Result<(), Violation> {
    state.downloads.iter().try_for_each(|(node, downloads)| {
        let models: BTreeSet<_> = downloads.iter().map(|download| &download.model_card.model_id).collect();
        verify(!downloads.is_empty(), "no list of models is empty", || node.to_string())?;
        verify(models.len() == downloads.len(), "a model stands once in the list of a node", || node.to_string())?;
        let own = downloads.iter().all(|download| download.node_id == *node);
        verify(own, "a node's list is about that node", || node.to_string())
    })
}

/// A thing stands under its own name.
pub fn keys_match_their_values(state: &State) -> Result<(), Violation> {
    let instances = state.instances.iter().all(|(id, instance)| *id == instance.instance_id);
    let tasks = state.tasks.iter().all(|(id, task)| *id == task.task_id);
    let intents = state.intents.iter().all(|(id, intent)| *id == intent.id);
    let tokens = state.identity.join_tokens.iter().all(|(id, state)| *id == state.token.id);
    verify(instances && tasks && intents && tokens, "a thing stands under its own name", String::new)
}

/// Restarts of a node do not make the State grow.
pub fn remembered_lives_are_bounded(state: &State) -> Result<(), Violation> {
    let longest = state.origins.longest();
    verify(longest <= Origins::limit(), "remembered lives of a node are bounded", || longest.to_string())
}

/// An instance grants a wish that exists, and no two grant the same one.
pub fn an_intent_has_one_instance_at_most(state: &State) -> Result<(), Violation> {
    let mut seen: BTreeSet<&IntentId> = BTreeSet::new();
    state.instances.values().filter_map(|instance| instance.intent.as_ref()).try_for_each(|intent| {
        verify(state.intents.contains_key(intent), "an instance's intent exists", || intent.to_string())?;
        verify(seen.insert(intent), "an intent has one instance at most", || intent.to_string())
    })
}

/// Nobody comes in with a token that was used up.
pub fn a_token_that_admits_one_node_admitted_one(state: &State) -> Result<(), Violation> {
    let mut once = state.identity.join_tokens.values().filter(|known| !known.token.reusable);
    once.try_for_each(|known| {
        verify(known.used_by.len() <= 1, "a one-time token admits one node", || known.token.id.to_string())
    })
}

/// Nobody is in under a key that was thrown out.
pub fn a_revoked_key_is_nobodys(state: &State) -> Result<(), Violation> {
    state.identity.admitted.iter().try_for_each(|(node, key)| {
        let is_out = state.identity.revoked.contains_key(key);
        verify(!is_out, "a revoked key is nobody's", || node.to_string())
    })
}

/// What goes takes along where it came in.
pub fn what_came_in_is_there(state: &State) -> Result<(), Violation> {
    let births = &state.lineage.births;
    let identity = &state.identity;
    let holds = births.intents.keys().all(|id| state.intents.contains_key(id))
        && births.instances.keys().all(|id| state.instances.contains_key(id))
        && births.join_tokens.keys().all(|id| identity.join_tokens.contains_key(id))
        && births.admitted.keys().all(|node| identity.admitted.contains_key(node))
        && births.drained.keys().all(|node| state.drained_nodes.contains(node));
    verify(holds, "what came in is there", || format!("{births:?}"))
}

/// Takeovers do not make the State grow.
pub fn remembered_sessions_are_bounded_and_in_order(state: &State) -> Result<(), Violation> {
    let histories = &state.lineage.histories;
    let holds = histories.len() <= Lineage::limit() && histories.is_sorted_by(|one, next| one.session < next.session);
    verify(holds, "remembered sessions are bounded and in order", || histories.len().to_string())
}

/// Commands do not make the State grow.
pub fn remembered_commands_are_bounded(state: &State) -> Result<(), Violation> {
    let length = state.accepted_commands.len();
    verify(length <= AcceptedCommands::limit(), "remembered commands are bounded", || length.to_string())
}

fn in_topology(state: &State, node: &NodeId) -> Result<(), Violation> {
    verify(state.topology.nodes.contains(node), "every node is in the topology", || node.to_string())
}
