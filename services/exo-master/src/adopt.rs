//! What runs in a session that is given up goes on in the one that stays. Pure.
//!
//! Adopted are the nodes with what they have, the instances that can be under their own names, the wishes behind them,
//! and how their runners are: so no worker finds a State without its runners, and none is started anew. What is there
//! already under the same name stays as it is.

use crate::draft::Draft;
use exo_state::State;
use exo_types::{Connection, Event, Instance, NodeId};

/// Adds what the other session has and this one has not.
pub(crate) fn adopt(draft: &mut Draft, other: &State) {
    let is_new = |node: &&NodeId| !draft.state().topology.nodes.contains(*node);
    let nodes: Vec<NodeId> = other.topology.nodes.iter().filter(is_new).cloned().collect();
    for node in &nodes {
        adopt_node(draft, other, node);
    }
    for node in &nodes {
        adopt_ways(draft, other, node);
    }
    for instance in other.instances.values() {
        adopt_instance(draft, other, instance);
    }
    for intent in other.open_intents() {
        if !draft.state().intents.contains_key(&intent.id) {
            draft.push(Event::IntentRecorded { intent: intent.clone() });
        }
    }
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
        draft.push(Event::NodeHardwareChanged { node_id: node_id.clone(), hardware: hardware.clone() });
    }
    for download in other.downloads.get(node).into_iter().flatten() {
        draft.push(Event::NodeDownloadProgress { download: download.clone() });
    }
    if other.drained_nodes.contains(node) {
        draft.push(Event::NodeDrained { node_id, drained: true });
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

/// An instance whose name or runners are taken is left out: its node ends them, and a wish behind it is granted anew.
fn adopt_instance(draft: &mut Draft, other: &State, instance: &Instance) {
    let state = draft.state();
    let runners = || instance.shard_assignments.runner_to_shard.keys();
    let is_free = !state.instances.contains_key(&instance.instance_id)
        && runners().all(|runner| state.instance_of_runner(runner).is_none());
    let intent = instance.intent.as_ref().and_then(|id| other.intents.get(id)).cloned();
    if let Some(intent) = intent.filter(|intent| !draft.state().intents.contains_key(&intent.id)) {
        draft.push(Event::IntentRecorded { intent });
    }
    if !is_free {
        return;
    }
    let may_grant = |id: &exo_types::IntentId| draft.state().instance_of_intent(id).is_none();
    let intent = instance.intent.clone().filter(may_grant);
    draft.push(Event::InstanceCreated { instance: Instance { intent, ..instance.clone() } });
    for runner_id in runners() {
        if let Some(runner_status) = other.runners.get(runner_id) {
            let (runner_id, runner_status) = (runner_id.clone(), runner_status.clone());
            draft.push(Event::RunnerStatusUpdated { runner_id, runner_status });
        }
    }
    let tasks = other.open_tasks(&instance.instance_id).cloned();
    tasks.for_each(|task| draft.push(Event::TaskCreated { task }));
}

#[cfg(test)]
mod tests;
