//! What the other session took away since the two went apart is taken away here too.

use super::was_accepted;
use crate::draft::Draft;
use exo_state::{Horizon, State};
use exo_types::{Event, IntentId, LogPlace, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// `theirs` is what the other session has seen.
pub(super) fn carry_out(draft: &mut Draft, other: &State, theirs: &Horizon) {
    let ours = draft.state().lineage.births.clone();
    let mut intents: BTreeSet<IntentId> =
        gone(&ours.intents, theirs, |id| other.intents.contains_key(id)).into_iter().collect();
    let wanted_here = draft.state().intents.keys().filter(|id| !other.intents.contains_key(*id));
    intents.extend(wanted_here.filter(|id| was_accepted(other, id)).cloned());
    for intent_id in intents {
        if let Some(instance) = draft.state().instance_of_intent(&intent_id) {
            let instance_id = instance.instance_id.clone();
            draft.push(Event::InstanceDeleted { instance_id });
        }
        draft.push(Event::IntentWithdrawn { intent_id });
    }
    for instance_id in gone(&ours.instances, theirs, |id| other.instances.contains_key(id)) {
        // One that a wish stands behind was placed anew there, not taken away: here it runs.
        if draft.state().instances.get(&instance_id).is_some_and(|instance| instance.intent.is_none()) {
            draft.push(Event::InstanceDeleted { instance_id });
        }
    }
    for id in gone(&ours.join_tokens, theirs, |id| other.identity.join_tokens.contains_key(id)) {
        draft.push(Event::JoinTokenDeleted { id });
    }
    for node_id in gone(&ours.drained, theirs, |node| other.drained_nodes.contains(node)) {
        draft.push(Event::NodeDrained { node_id, drained: false });
    }
    let admitted = draft.state().identity.admitted.clone();
    for node_id in gone(&ours.admitted, theirs, |node| other.identity.admitted.get(node) == admitted.get(node)) {
        // A node that was removed there and is here came back since.
        if !draft.state().topology.nodes.contains(&node_id) {
            remove_node(draft, node_id, other);
        }
    }
}

/// A node that was let in anew there, under another key, is removed like one that is there no more, and comes in again.
/// Drained it stays.
fn remove_node(draft: &mut Draft, node_id: NodeId, other: &State) {
    let comes_again = other.identity.admitted.contains_key(&node_id);
    let stays_drained = comes_again && draft.state().drained_nodes.contains(&node_id);
    draft.push(Event::NodeRemoved { node_id: node_id.clone() });
    if stays_drained {
        draft.push(Event::NodeDrained { node_id, drained: true });
    }
}

/// Names of what the other one has seen and has no more. What is there under the same name is the same, though it may
/// have come in elsewhere: asked for on both sides of a partition, each side keeps the place of its own.
fn gone<K: Ord + Clone>(ours: &BTreeMap<K, LogPlace>, theirs: &Horizon, is_there: impl Fn(&K) -> bool) -> Vec<K> {
    let is_gone = |(name, place): &(&K, &LogPlace)| theirs.has_seen(place) && !is_there(name);
    ours.iter().filter(is_gone).map(|(name, _)| name.clone()).collect()
}
