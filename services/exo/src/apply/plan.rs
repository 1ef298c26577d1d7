//! From what is wanted and what is there to what is to be done. Pure.

use exo_config::Wanted;
use exo_state::State;
use exo_types::{Intent, NodeId, PlaceInstance};
use std::collections::BTreeMap;

/// What would make the cluster as wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// To be placed, with their names in the file.
    pub(crate) place: Vec<(String, PlaceInstance)>,
    /// Names of those that were asked for before.
    pub(crate) there: Vec<String>,
    /// Asked for by somebody, and not in the file: the ids under which they can be taken away, with their models.
    pub(crate) surplus: Vec<(String, String)>,
}

/// Compares. An instance is recognised by what was asked for when it was placed, not by where it runs: one that waits for
/// a lost node to come back is there, and is not placed again. Each counts once, so that two alike make two instances.
///
/// `node_of` finds a node by its name or id; its error ends the plan.
pub(crate) fn plan<E>(
    wanted: &BTreeMap<String, Wanted>,
    state: &State,
    node_of: impl Fn(&str) -> Result<NodeId, E>,
) -> Result<Plan, E> {
    let mut unclaimed: Vec<&Intent> = state.intents.values().collect();
    let mut plan = Plan { place: Vec::new(), there: Vec::new(), surplus: Vec::new() };
    for (name, wanted) in wanted {
        let place = request(wanted, &node_of)?;
        match unclaimed.iter().position(|intent| same(&intent.place, &place)) {
            Some(index) => {
                unclaimed.remove(index);
                plan.there.push(name.clone());
            }
            None => plan.place.push((name.clone(), place)),
        }
    }
    plan.surplus =
        unclaimed.into_iter().map(|intent| (handle(state, intent), intent.place.model_id.to_string())).collect();
    Ok(plan)
}

fn request<E>(wanted: &Wanted, node_of: impl Fn(&str) -> Result<NodeId, E>) -> Result<PlaceInstance, E> {
    Ok(PlaceInstance {
        model_id: wanted.model.clone(),
        sharding: wanted.sharding.into(),
        min_nodes: wanted.min_nodes,
        node_ids: wanted.nodes.iter().map(|name| node_of(name)).collect::<Result<_, E>>()?,
        context_length: wanted.context_length,
    })
}

/// The order in which nodes are named means nothing.
fn same(one: &PlaceInstance, other: &PlaceInstance) -> bool {
    let sorted = |place: &PlaceInstance| {
        let mut place = place.clone();
        place.node_ids.sort();
        place
    };
    sorted(one) == sorted(other)
}

/// A wish that has no instance now goes by the name of the first that it had, which is its own.
fn handle(state: &State, intent: &Intent) -> String {
    let instance = state.instance_of_intent(&intent.id);
    instance.map_or_else(|| intent.id.to_string(), |instance| instance.instance_id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_config::read_wanted;
    use exo_types::{Event, EventIndex, IndexedEvent};
    use serde_json::json;

    fn asked_for(places: &[serde_json::Value]) -> State {
        let mut state = State::default();
        for (idx, place) in (1..).zip(places) {
            let event = json!({ "IntentRecorded": { "intent": { "id": format!("wish-{idx}"), "place": place } } });
            let event: Event = serde_json::from_value(event).expect("an event");
            exo_state::apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
        }
        state
    }

    fn node_of(name: &str) -> Result<NodeId, String> {
        match name {
            "nobody" => Err(format!("no node {name}")),
            name => Ok(NodeId::new(format!("id-of-{name}")).expect("a good id")),
        }
    }

    /// To place, there, surplus.
    fn check(file: &str, state: &State, expect: (&[&str], &[&str], &[&str])) {
        let wanted = read_wanted(file).expect("a good file");
        let plan = plan(&wanted, state, node_of).expect("a plan");
        let place: Vec<&str> = plan.place.iter().map(|(name, _)| name.as_str()).collect();
        let surplus: Vec<&str> = plan.surplus.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(
            (
                place.as_slice(),
                plan.there.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
                surplus.as_slice()
            ),
            expect,
            "{file}"
        );
    }

    const GUIDE: &str = "[instances.guide]\nmodel = \"exo-guide\"\n";

    #[test]
    fn what_is_missing_is_placed_once() {
        check(GUIDE, &asked_for(&[]), (&["guide"], &[], &[]));
        check(GUIDE, &asked_for(&[json!({ "modelId": "exo-guide" })]), (&[], &["guide"], &[]));
        check("", &asked_for(&[]), (&[], &[], &[]));
    }

    #[test]
    fn two_alike_are_two_instances() {
        let two = format!("{GUIDE}[instances.spare]\nmodel = \"exo-guide\"\n");
        let guide = json!({ "modelId": "exo-guide" });
        check(&two, &asked_for(std::slice::from_ref(&guide)), (&["spare"], &["guide"], &[]));
        check(&two, &asked_for(&[guide.clone(), guide.clone()]), (&[], &["guide", "spare"], &[]));
        check(&two, &asked_for(&[guide.clone(), guide.clone(), guide]), (&[], &["guide", "spare"], &["wish-3"]));
    }

    #[test]
    fn what_was_asked_for_otherwise_is_something_else() {
        let other = asked_for(&[json!({ "modelId": "exo-guide", "minNodes": 2 })]);
        check(GUIDE, &other, (&["guide"], &[], &["wish-1"]));
        let other = asked_for(&[json!({ "modelId": "exo-guide", "contextLength": 100 })]);
        check(GUIDE, &other, (&["guide"], &[], &["wish-1"]));
    }

    #[test]
    fn nodes_are_meant_in_any_order_and_have_to_be_there() {
        let file = "[instances.a]\nmodel = \"m\"\nnodes = [\"x\", \"y\"]\n";
        let there = asked_for(&[json!({ "modelId": "m", "nodeIds": ["id-of-y", "id-of-x"] })]);
        check(file, &there, (&[], &["a"], &[]));
        let wanted = read_wanted("[instances.a]\nmodel = \"m\"\nnodes = [\"nobody\"]\n").expect("a good file");
        assert_eq!(plan(&wanted, &there, node_of), Err("no node nobody".to_owned()));
    }
}
