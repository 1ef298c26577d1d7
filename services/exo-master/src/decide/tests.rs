use super::*;
use crate::testing::{cluster, decide_ok, delete, fold, lend, place};
use exo_types::{Memory, ModelId, NodeId, ShardAssignments};

fn code_of(state: &State, command: &Command) -> RefusalCode {
    let id = CommandId::new("c").expect("a good id");
    decide(state, &id, command, Defaults::default()).expect_err("refused").code
}

#[test]
fn a_placement_becomes_an_instance_and_a_task_named_after_the_command() {
    let state = cluster(&[("a", 2000), ("b", 2000)]);
    let decision = decide_ok(&state, "c1", &place("m", 2));
    assert_eq!(decision.task_id.as_ref().map(TaskId::as_str), Some("c1"));
    let state = fold(state, decision.events);
    let instance = state.instances.values().next().expect("placed");
    assert_eq!((instance.instance_id.as_str(), instance.ranks().len()), ("c1", 2));
    assert_eq!(state.tasks.values().next().map(|task| task.task_status), Some(TaskStatus::Pending));
}

#[test]
fn a_deletion_names_its_instance() {
    let state = cluster(&[("a", 2000)]);
    let state = fold(state.clone(), decide_ok(&state, "c1", &place("m", 1)).events);
    let state = fold(state.clone(), decide_ok(&state, "c2", &delete("c1")).events);
    assert!(state.instances.is_empty());
    assert_eq!(code_of(&state, &delete("c1")), RefusalCode::NotFound);
}

#[test]
fn what_cannot_be_placed_is_refused_with_the_reason() {
    let state = cluster(&[("a", 300), ("b", 300)]);
    let with = |change: fn(&mut PlaceInstance)| {
        let Command::PlaceInstance(mut request) = place("m", 1) else { unreachable!("it is a placement") };
        change(&mut request);
        Command::PlaceInstance(request)
    };
    for (command, expect) in [
        (place("other", 1), RefusalCode::NotFound),
        (place("m", 1), RefusalCode::DoesNotFit),
        (place("m", 3), RefusalCode::DoesNotFit),
        (place("m", 99), RefusalCode::Invalid),
        (with(|r| r.sharding = Sharding::Tensor), RefusalCode::Invalid),
        (with(|r| r.context_length = Some(1_000_000)), RefusalCode::Invalid),
        (with(|r| r.node_ids = vec![NodeId::new("gone").expect("a good id")]), RefusalCode::NotFound),
    ] {
        assert_eq!(code_of(&state, &command), expect, "{command:?}");
    }
    let id = CommandId::new("c").expect("a good id");
    let refusal = decide(&state, &id, &place("other", 1), Defaults::default()).expect_err("refused");
    assert!(refusal.message.contains("models in the cluster: m"), "{refusal}");
}

#[test]
fn a_manual_split_is_taken_as_it_is_if_it_can_be() {
    let state = cluster(&[("a", 2000), ("b", 2000)]);
    let placed = fold(state.clone(), decide_ok(&state, "c1", &place("m", 2)).events);
    let good = placed.instances.values().next().expect("placed").clone();
    let create = |change: fn(&mut Instance)| {
        let mut instance = good.clone();
        change(&mut instance);
        Command::CreateInstance { instance }
    };
    assert_eq!(decide_ok(&state, "c2", &create(|_| {})).instance_id.as_ref(), Some(&good.instance_id));
    fn assignments(instance: &mut Instance) -> &mut ShardAssignments {
        &mut instance.shard_assignments
    }
    for (command, expect) in [
        (create(|i| i.sharding = Sharding::Tensor), RefusalCode::Invalid),
        (create(|i| i.context_length = 0), RefusalCode::Invalid),
        (create(|i| i.max_sequences = 0), RefusalCode::Invalid),
        (create(|i| drop(assignments(i).runner_to_shard.pop_first())), RefusalCode::Invalid),
        (create(|i| assignments(i).model_card.model_id = ModelId::new("x").expect("id")), RefusalCode::NotFound),
        (create(|i| assignments(i).model_card.hidden_size = 1), RefusalCode::Invalid),
        (create(|i| i.max_sequences = 1 << 20), RefusalCode::DoesNotFit),
        (
            create(|i| {
                let (_, runner) = assignments(i).node_to_runner.pop_first().expect("two nodes");
                assignments(i).node_to_runner.insert(NodeId::new("gone").expect("a good id"), runner);
            }),
            RefusalCode::NotFound,
        ),
    ] {
        assert_eq!(code_of(&state, &command), expect, "{command:?}");
    }
    assert_eq!(code_of(&placed, &create(|_| {})), RefusalCode::Invalid, "its name is taken");
    let other_name = create(|i| i.instance_id = InstanceId::new("j").expect("a good id"));
    assert_eq!(code_of(&placed, &other_name), RefusalCode::Invalid, "its runners are taken");
}

#[test]
fn memory_that_was_promised_is_not_given_twice() {
    let state = cluster(&[("a", 1500)]);
    let placed = fold(state.clone(), decide_ok(&state, "c1", &place("m", 1)).events);
    assert_eq!(code_of(&placed, &place("m", 1)), RefusalCode::DoesNotFit);
    let roomier = lend(placed, "a", Memory::mib(4000));
    decide_ok(&roomier, "c2", &place("m", 1));
}

#[test]
fn ended_tasks_are_forgotten_in_the_end() {
    let mut state = cluster(&[("a", 2000)]);
    for n in 0..300 {
        let (placing, deleting) = (format!("c{n:03}"), format!("d{n:03}"));
        state = fold(state.clone(), decide_ok(&state, &placing, &place("m", 1)).events);
        state = fold(state.clone(), decide_ok(&state, &deleting, &delete(&placing)).events);
    }
    assert_eq!(state.tasks.len(), ENDED_TASKS);
    assert!(state.tasks.keys().all(|id| id.as_str() >= "c172"), "the oldest go first");
}
