//! Commands about nodes.

use super::{Circumstances, Decision, refuse};
use exo_state::State;
use exo_types::{Event, NodeId, Refusal, RefusalCode};
use std::collections::BTreeSet;

pub(super) fn drain(state: &State, node_id: &NodeId, drained: bool) -> Result<Decision, Refusal> {
    check_known(state, node_id, &BTreeSet::new())?;
    let is_news = state.drained_nodes.contains(node_id) != drained;
    let event = Event::NodeDrained { node_id: node_id.clone(), drained };
    Ok(Decision::of(is_news.then_some(event).into_iter().collect()))
}

/// A node that is there would come back with the next thing it tells. One that has nothing but a master is known to the
/// log only.
pub(super) fn remove(state: &State, node_id: &NodeId, circumstances: &Circumstances) -> Result<Decision, Refusal> {
    check_known(state, node_id, &circumstances.masters)?;
    if circumstances.running_masters.contains(node_id) {
        // It would be voted out, and ask to be let in again at once.
        let message = format!(
            "the master of node {node_id} runs; stop exo on it first (`exo node leave {node_id}` gives its vote away), then \
             remove it, or throw it out with `exo cluster revoke {node_id}`"
        );
        return refuse(RefusalCode::Invalid, message);
    }
    if state.topology.nodes.contains(node_id) {
        let message =
            format!("node {node_id} is there; stop exo on it first, then remove it (`exo node rm {node_id}`)");
        return refuse(RefusalCode::Invalid, message);
    }
    Ok(Decision::of(vec![Event::NodeRemoved { node_id: node_id.clone() }]))
}

fn check_known(state: &State, node_id: &NodeId, masters: &BTreeSet<NodeId>) -> Result<(), Refusal> {
    let is_known = masters.contains(node_id)
        || state.topology.nodes.contains(node_id)
        || state.drained_nodes.contains(node_id)
        || state.identity.admitted.contains_key(node_id);
    if is_known { Ok(()) } else { refuse(RefusalCode::NotFound, format!("there is no node {node_id} in the cluster")) }
}
