//! Events about nodes.

use super::{Effect, changed, set, unknown};
use crate::State;
use exo_types::{Connection, ModelId, NodeDownload, NodeHardware, NodeId, NodeInfo, NodeResources};
use std::collections::btree_map::Entry;

pub(super) fn gathered_info(state: &mut State, node: &NodeId, info: &NodeInfo) -> Effect {
    appear(state, node);
    insert(state.node_identities.entry(node.clone()), info.clone())
}

pub(super) fn resources_changed(state: &mut State, node: &NodeId, resources: NodeResources) -> Effect {
    appear(state, node);
    insert(state.node_memory.entry(node.clone()), resources)
}

pub(super) fn hardware_changed(state: &mut State, node: &NodeId, hardware: &NodeHardware) -> Effect {
    appear(state, node);
    insert(state.node_hardware.entry(node.clone()), hardware.clone())
}

/// Takes the node out of everything but the assignments of instances: those say what was wanted, and the master
/// decides what becomes of them.
pub(super) fn timed_out(state: &mut State, node: &NodeId) -> Effect {
    if !state.topology.nodes.contains(node) {
        return Err(unknown("node", node));
    }
    state.topology.remove(node);
    state.node_identities.remove(node);
    state.node_memory.remove(node);
    state.node_hardware.remove(node);
    state.downloads.remove(node);
    for instance in state.instances.values() {
        if let Some(runner) = instance.shard_assignments.node_to_runner.get(node) {
            state.runners.remove(runner);
        }
    }
    Ok(())
}

/// Nothing is kept of the node, but that its key was thrown out, if it was.
pub(super) fn removed(state: &mut State, node: &NodeId) -> Effect {
    let was_there = timed_out(state, node).is_ok();
    let was_drained = state.drained_nodes.remove(node);
    let was_admitted = state.identity.admitted.remove(node).is_some();
    if was_there || was_drained || was_admitted { Ok(()) } else { Err(unknown("node", node)) }
}

pub(super) fn download_progress(state: &mut State, download: &NodeDownload) -> Effect {
    appear(state, &download.node_id);
    let of_node = state.downloads.entry(download.node_id.clone()).or_default();
    let model = &download.model_card.model_id;
    match of_node.iter_mut().find(|known| known.model_card.model_id == *model) {
        Some(known) => set(known, download.clone()),
        None => {
            of_node.push(download.clone());
            Ok(())
        }
    }
}

/// A way to a node that is not there (any more) is not taken up: it would bring a lost node back.
pub(super) fn edge_created(state: &mut State, connection: &Connection) -> Effect {
    for end in [&connection.source, &connection.sink] {
        if !state.topology.nodes.contains(end) {
            return Err(unknown("node", end));
        }
    }
    changed(state.topology.connect(connection))
}

pub(super) fn download_removed(state: &mut State, node: &NodeId, model: &ModelId) -> Effect {
    let Some(of_node) = state.downloads.get_mut(node) else { return Err(unknown("node", node)) };
    let before = of_node.len();
    of_node.retain(|download| download.model_card.model_id != *model);
    let fewer = of_node.len() < before;
    if of_node.is_empty() {
        state.downloads.remove(node);
    }
    changed(fewer)
}

fn appear(state: &mut State, node: &NodeId) {
    state.topology.nodes.insert(node.clone());
}

fn insert<K: Ord, V: PartialEq>(entry: Entry<'_, K, V>, value: V) -> Effect {
    match entry {
        Entry::Occupied(mut known) => set(known.get_mut(), value),
        Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
    }
}
