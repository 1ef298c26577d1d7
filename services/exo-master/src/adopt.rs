//! What runs in a session that is given up goes on in the one that stays. Pure.
//!
//! Adopted are the nodes with what they have, the instances that can be under their own names, the wishes behind them,
//! and how their runners are: so no worker finds a State without its runners, and none is started anew. Who belongs to
//! the cluster and what was accepted come along. What is there already under the same name stays as it is.
//!
//! The two may have gone on apart from a common State. So only what came in after that is new, and what one of the two
//! took away since then is gone from both: `exo_state::Lineage` tells. A key that either threw out stays out.

mod identity;
mod taken_away;

use crate::draft::Draft;
use exo_state::{Horizon, State};
use exo_types::{Births, CommandId, Connection, Event, Instance, Intent, IntentId, LogPlace, NodeId};
use std::collections::BTreeMap;

/// Commands of the other session that are remembered here, at most: the last ones. A command is sent again for a minute,
/// and what was accepted here has to stay remembered too.
const COMMANDS: usize = 512;

/// Adds what the other session has and this one has not, and takes away what it took away.
pub(crate) fn adopt(draft: &mut Draft, other: &State) {
    let (own, theirs) = (draft.state().horizon(), other.horizon());
    if own.has_seen_all_of(&theirs) {
        return;
    }
    identity::revoke_keys(draft, other);
    taken_away::carry_out(draft, other, &theirs);
    let is_new = |node: &&NodeId| !draft.state().topology.nodes.contains(*node);
    let nodes: Vec<NodeId> = other.topology.nodes.iter().filter(is_new).cloned().collect();
    for node in &nodes {
        adopt_node(draft, other, node);
    }
    for node in &nodes {
        adopt_ways(draft, other, node);
    }
    for instance in other.instances.values() {
        adopt_instance(draft, other, instance, &own);
    }
    for intent in other.open_intents() {
        adopt_intent(draft, other, intent, &own);
    }
    identity::adopt(draft, other, &own);
    for node_id in &other.drained_nodes {
        if !draft.state().drained_nodes.contains(node_id) && is_news(&own, &other.lineage.births.drained, node_id) {
            draft.push(Event::NodeDrained { node_id: node_id.clone(), drained: true });
        }
    }
    adopt_commands(draft, other);
    let births = births_of_adopted(draft.state(), other, &own, &theirs);
    draft.push(Event::SessionAdopted { histories: theirs.places().collect(), births });
}

/// Whether it came in after the two went apart. What has no place is of an older version, which knew none.
fn is_news<K: Ord>(own: &Horizon, births: &BTreeMap<K, LogPlace>, name: &K) -> bool {
    !births.get(name).is_some_and(|place| own.has_seen(place))
}

fn adopt_node(draft: &mut Draft, other: &State, node: &NodeId) {
    let node_id = node.clone();
    if let Some(info) = other.node_identities.get(node) {
        draft.push(Event::NodeGatheredInfo { node_id: node_id.clone(), info: info.clone() });
    }
    if let Some(resources) = other.node_memory.get(node) {
        draft.push(Event::NodeResourcesChanged { node_id: node_id.clone(), resources: *resources });
    }
    if let Some(hardware) = other.node_hardware.get(node) {
        draft.push(Event::NodeHardwareChanged { node_id, hardware: hardware.clone() });
    }
    for download in other.downloads.get(node).into_iter().flatten() {
        draft.push(Event::NodeDownloadProgress { download: download.clone() });
    }
}

fn adopt_ways(draft: &mut Draft, other: &State, source: &NodeId) {
    for (sink, addresses) in other.topology.connections.get(source).into_iter().flatten() {
        for sink_address in addresses {
            let connection =
                Connection { source: source.clone(), sink: sink.clone(), sink_address: sink_address.clone() };
            draft.push(Event::TopologyEdgeCreated { connection });
        }
    }
}

/// Whether the command that a wish is named after was carried out there: asked again on the other side of a partition it
/// is the same wish, wherever it came in.
fn was_accepted(state: &State, intent: &IntentId) -> bool {
    CommandId::new(intent.as_str()).is_ok_and(|command| state.accepted_commands.get(&command).is_some())
}

/// Whether the wish is here now. One that was taken back here is not.
fn adopt_intent(draft: &mut Draft, other: &State, intent: &Intent, own: &Horizon) -> bool {
    let is_here = draft.state().intents.contains_key(&intent.id);
    let comes =
        !is_here && !was_accepted(draft.state(), &intent.id) && is_news(own, &other.lineage.births.intents, &intent.id);
    if comes {
        draft.push(Event::IntentRecorded { intent: intent.clone() });
    }
    is_here || comes
}

/// An instance whose name or runners are taken is left out: its node ends them, and a wish behind it is granted anew.
/// Of two that grant one wish the one that is ready stays, else the own: what stood without its wish could be deleted,
/// and what its user wanted gone would run on.
fn adopt_instance(draft: &mut Draft, other: &State, instance: &Instance, own: &Horizon) {
    let intent = instance.intent.as_ref().and_then(|id| other.intents.get(id));
    let is_wanted = intent.is_none_or(|intent| adopt_intent(draft, other, intent, own));
    let state = draft.state();
    let runners = || instance.shard_assignments.runner_to_shard.keys();
    let is_free = !state.instances.contains_key(&instance.instance_id)
        && runners().all(|runner| state.instance_of_runner(runner).is_none());
    if !is_wanted || !is_free || !is_news(own, &other.lineage.births.instances, &instance.instance_id) {
        return;
    }
    if let Some(granting) = instance.intent.as_ref().and_then(|id| state.instance_of_intent(id)) {
        if state.is_ready(granting) || !other.is_ready(instance) {
            return;
        }
        let instance_id = granting.instance_id.clone();
        draft.push(Event::InstanceDeleted { instance_id });
    }
    draft.push(Event::InstanceCreated { instance: instance.clone() });
    for runner_id in runners() {
        if let Some(runner_status) = other.runners.get(runner_id) {
            let (runner_id, runner_status) = (runner_id.clone(), runner_status.clone());
            draft.push(Event::RunnerStatusUpdated { runner_id, runner_status });
        }
    }
    let tasks = other.open_tasks(&instance.instance_id).cloned();
    tasks.for_each(|task| draft.push(Event::TaskCreated { task }));
}

/// So that none of them is carried out again when it is asked again.
fn adopt_commands(draft: &mut Draft, other: &State) {
    let accepted = other.accepted_commands.iter();
    let older = accepted.len().saturating_sub(COMMANDS);
    for command in accepted.skip(older) {
        if draft.state().accepted_commands.get(&command.command_id).is_none() {
            let (command_id, task_id) = (command.command_id.clone(), command.task_id.clone());
            let instance_id = command.instance_id.clone();
            draft.push(Event::CommandAccepted { command_id, task_id, instance_id });
        }
    }
}

/// Where what came along first came in there. Also what both have, if the other has seen where it came in here and holds
/// that it came in elsewhere: it was taken away and came back, or it is what two sessions had made one before. Else a
/// third one would take one of the two places for something that is gone.
fn births_of_adopted(state: &State, other: &State, own: &Horizon, theirs: &Horizon) -> Births {
    fn adopted<K: Ord + Clone>(
        here: &BTreeMap<K, LogPlace>,
        there: &BTreeMap<K, LogPlace>,
        is_theirs: impl Fn(&LogPlace, &LogPlace) -> bool,
    ) -> BTreeMap<K, LogPlace> {
        let differs = |(name, there): &(&K, &LogPlace)| {
            here.get(name).is_some_and(|here| here != *there && is_theirs(here, there))
        };
        there.iter().filter(differs).map(|(name, place)| (name.clone(), place.clone())).collect()
    }
    // What came in here while the two are made one is what was not seen before.
    let comes_along = |here: &LogPlace, there: &LogPlace| !own.has_seen(here) && !own.has_seen(there);
    let is_theirs = |here: &LogPlace, there: &LogPlace| comes_along(here, there) || theirs.has_seen(here);
    let (here, there) = (&state.lineage.births, &other.lineage.births);
    Births {
        intents: adopted(&here.intents, &there.intents, is_theirs),
        instances: adopted(&here.instances, &there.instances, is_theirs),
        join_tokens: adopted(&here.join_tokens, &there.join_tokens, is_theirs),
        admitted: adopted(&here.admitted, &there.admitted, is_theirs),
        drained: adopted(&here.drained, &there.drained, is_theirs),
    }
}

#[cfg(test)]
mod tests;
