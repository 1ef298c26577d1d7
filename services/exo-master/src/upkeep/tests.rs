use super::*;
use crate::testing::{CIRCUMSTANCES, cluster, decide_ok, fold, lend, node, place, told};
use exo_types::{Memory, RunnerFailure};

const READY: RunnerStatus = RunnerStatus::RunnerReady { incarnation: 1 };

/// A cluster with "m" placed as "c1" on so many nodes.
pub(super) fn placed(nodes: &[(&str, u64)], on: u32) -> State {
    let state = cluster(nodes);
    fold(state.clone(), decide_ok(&state, "c1", &place("m", on)).events)
}

fn keep_up(state: State, lost: &[NodeId], wishes: &[ModelId]) -> (State, Vec<String>) {
    let mut draft = Draft::new(state);
    let lost = Lost { now: lost.to_vec(), lately: BTreeSet::new() };
    let complaints = upkeep(&mut draft, &lost, wishes, &CIRCUMSTANCES);
    let state = draft.state().clone();
    exo_state::check_invariants(&state).expect("invariants hold");
    (state, complaints)
}

pub(super) fn nodes_of(state: &State) -> Vec<Vec<&str>> {
    let ranks = |instance: &'_ Instance| -> Vec<String> {
        instance.ranks().into_iter().map(|(node, _, _)| node.to_string()).collect()
    };
    let all = state.instances.values();
    all.map(|instance| {
        let names = ranks(instance);
        state.topology.nodes.iter().map(NodeId::as_str).filter(|name| names.iter().any(|n| n == name)).collect()
    })
    .collect()
}

#[test]
fn what_a_lost_node_held_is_placed_anew_where_it_fits() {
    let state = placed(&[("a", 2000), ("b", 2000), ("c", 2000)], 2);
    let (state, complaints) = keep_up(state, &[node("b")], &[]);
    assert_eq!((nodes_of(&state), complaints.len()), (vec![vec!["a", "c"]], 0));
    let again = state.instances.keys().next().expect("placed");
    assert!(again.as_str().starts_with("c1.again-"), "{again}");
}

#[test]
fn it_is_placed_on_fewer_nodes_where_there_are_no_more() {
    let (state, _) = keep_up(placed(&[("a", 2000), ("b", 2000)], 2), &[node("b")], &[]);
    assert_eq!(nodes_of(&state), [["a"]]);
}

#[test]
fn the_memory_of_its_own_runners_counts_as_free() {
    let state = placed(&[("a", 2000), ("b", 2000)], 2);
    let loaded = fold(state, [told("c1-0", READY), told("c1-1", READY)]);
    // The runner on a took 600 MiB of its 1200.
    let (state, _) = keep_up(lend(loaded, "a", Memory::mib(600)), &[node("b")], &[]);
    assert_eq!(nodes_of(&state), [["a"]]);
}

#[test]
fn what_fits_nowhere_waits_for_the_node_to_come_back() {
    let state = placed(&[("a", 700), ("b", 700)], 2);
    let (state, complaints) = keep_up(state, &[node("b")], &[]);
    assert!(state.instances.keys().any(|id| id.as_str() == "c1"));
    assert!(complaints[0].contains("c1") && complaints[0].contains("needs"), "{complaints:?}");
    let (again, _) = keep_up(state.clone(), &[], &[]);
    assert_eq!(again.last_event_applied_idx, state.last_event_applied_idx, "and nothing is written for it");
}

#[test]
fn a_node_is_lost_once() {
    let (state, _) = keep_up(cluster(&[("a", 1), ("b", 1)]), &[node("b")], &[]);
    let (again, _) = keep_up(state.clone(), &[node("b")], &[]);
    assert_eq!(again, state);
}

#[test]
fn tasks_follow_their_runners() {
    let loading = RunnerStatus::RunnerLoading { layers_loaded: 1, total_layers: 4 };
    let failed = |retry| RunnerStatus::RunnerFailed {
        failure: RunnerFailure { error_message: "damaged".to_owned(), attempt: 1, retry },
    };
    for (statuses, expect) in [
        (vec![], TaskStatus::Pending),
        (vec![("c1-0", loading.clone())], TaskStatus::Running),
        (vec![("c1-0", READY)], TaskStatus::Running),
        (vec![("c1-0", READY), ("c1-1", READY)], TaskStatus::Complete),
        (vec![("c1-0", failed(true))], TaskStatus::Running),
        (vec![("c1-0", loading), ("c1-1", failed(false))], TaskStatus::Failed),
    ] {
        let state = placed(&[("a", 2000), ("b", 2000)], 2);
        let events: Vec<_> = statuses.iter().map(|(runner, status)| told(runner, status.clone())).collect();
        let (state, _) = keep_up(fold(state, events), &[], &[]);
        let task = state.tasks.values().next().expect("a task");
        assert_eq!(task.task_status, expect, "{statuses:?}");
        let (again, _) = keep_up(state.clone(), &[], &[]);
        assert_eq!(again, state, "news are told once");
    }
}

#[test]
fn wishes_are_granted_once_there_is_room() {
    let wishes = [ModelId::new("m").expect("a good id")];
    let (state, complaints) = keep_up(cluster(&[]), &[], &wishes);
    assert!(state.instances.is_empty() && complaints[0].contains("models.place"), "{complaints:?}");
    let (state, complaints) = keep_up(cluster(&[("a", 2000)]), &[], &wishes);
    assert_eq!((state.instances.len(), complaints.len()), (1, 0));
    let (again, _) = keep_up(state.clone(), &[], &wishes);
    assert_eq!(again, state);
}

#[test]
fn what_is_asked_for_is_placed_again_when_it_fits_again() {
    let state = placed(&[("a", 2000)], 1);
    let instance_id = InstanceId::new("c1").expect("a good id");
    let state = fold(state, [Event::InstanceDeleted { instance_id }, Event::NodeTimedOut { node_id: node("a") }]);
    let (state, complaints) = keep_up(state, &[], &[]);
    assert!(state.instances.is_empty() && complaints[0].contains("asked for by c1"), "{complaints:?}");
    let (state, complaints) = keep_up(fold(state, crate::testing::arrival("b", 2000)), &[], &[]);
    assert_eq!((nodes_of(&state), complaints.len()), (vec![vec!["b"]], 0));
    assert_eq!(state.open_intents().count(), 0);
}

#[test]
fn a_drained_node_is_emptied_where_it_can_be_and_nothing_comes_to_it() {
    let drain = |name: &str| Event::NodeDrained { node_id: node(name), drained: true };
    let state = fold(placed(&[("a", 2000), ("b", 2000)], 1), []);
    let on = nodes_of(&state)[0][0].to_owned();
    let other = if on == "a" { "b" } else { "a" };
    let (state, complaints) = keep_up(fold(state, [drain(&on)]), &[], &[]);
    assert_eq!((nodes_of(&state), complaints.len()), (vec![vec![other]], 0));
    let (state, complaints) = keep_up(fold(state, [drain(other)]), &[], &[]);
    assert_eq!((nodes_of(&state), complaints.len()), (vec![vec![other]], 1), "it goes on serving");
}

#[test]
fn what_a_node_held_waits_for_it_for_a_moment() {
    let mut draft = Draft::new(placed(&[("a", 2000), ("b", 2000), ("c", 2000)], 2));
    let lost = |now: &[&str], lately: &[&str]| Lost {
        now: now.iter().map(|name| node(name)).collect(),
        lately: lately.iter().map(|name| node(name)).collect(),
    };
    upkeep(&mut draft, &lost(&["b"], &["b"]), &[], &CIRCUMSTANCES);
    assert!(draft.state().instances.keys().all(|id| id.as_str() == "c1") && draft.state().topology.nodes.len() == 2);
    upkeep(&mut draft, &lost(&[], &[]), &[], &CIRCUMSTANCES);
    assert_eq!(nodes_of(draft.state()), [["a", "c"]]);
}
