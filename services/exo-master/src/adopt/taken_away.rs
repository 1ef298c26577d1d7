//! What the other session took away since the two went apart is taken away here too.

use super::was_accepted;
use crate::draft::Draft;
use exo_state::{Horizon, State};
use exo_types::{Event, IntentId, LogPlace};
use std::collections::{BTreeMap, BTreeSet};

/// `theirs` is what the other session has seen.
pub(super) fn carry_out(draft: &mut Draft, other: &State, theirs: &Horizon) {
    let (ours, left) = (draft.state().lineage.births.clone(), &other.lineage.births);
    let mut intents: BTreeSet<IntentId> =
        gone(&ours.intents, &left.intents, theirs, |id| other.intents.contains_key(id)).into_iter().collect();
    let wanted_here = draft.state().intents.keys().filter(|id| !other.intents.contains_key(*id));
    intents.extend(wanted_here.filter(|id| was_accepted(other, id)).cloned());
    for intent_id in intents {
        if let Some(instance) = draft.state().instance_of_intent(&intent_id) {
            let instance_id = instance.instance_id.clone();
            draft.push(Event::InstanceDeleted { instance_id });
        }
        draft.push(Event::IntentWithdrawn { intent_id });
    }
    for instance_id in gone(&ours.instances, &left.instances, theirs, |id| other.instances.contains_key(id)) {
        // One that a wish stands behind was placed anew there, not taken away: here it runs.
        if draft.state().instances.get(&instance_id).is_some_and(|instance| instance.intent.is_none()) {
            draft.push(Event::InstanceDeleted { instance_id });
        }
    }
    let (tokens, admitted) = (&other.identity.join_tokens, &other.identity.admitted);
    for id in gone(&ours.join_tokens, &left.join_tokens, theirs, |id| tokens.contains_key(id)) {
        draft.push(Event::JoinTokenDeleted { id });
    }
    for node_id in gone(&ours.drained, &left.drained, theirs, |node| other.drained_nodes.contains(node)) {
        draft.push(Event::NodeDrained { node_id, drained: false });
    }
    for node_id in gone(&ours.admitted, &left.admitted, theirs, |node| admitted.contains_key(node)) {
        // A node that was removed there and is here came back since.
        if !draft.state().topology.nodes.contains(&node_id) {
            draft.push(Event::NodeRemoved { node_id });
        }
    }
}

/// Names of what the other one has seen and has no more, or has anew under that name. What it has without a place came
/// in when it was of an older version.
fn gone<K: Ord + Clone>(
    ours: &BTreeMap<K, LogPlace>,
    left: &BTreeMap<K, LogPlace>,
    theirs: &Horizon,
    is_there: impl Fn(&K) -> bool,
) -> Vec<K> {
    let is_gone = |(name, place): &(&K, &LogPlace)| {
        theirs.has_seen(place) && left.get(name).map_or_else(|| !is_there(name), |there| there != *place)
    };
    ours.iter().filter(is_gone).map(|(name, _)| name.clone()).collect()
}
