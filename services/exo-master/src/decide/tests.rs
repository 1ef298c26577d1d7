use super::*;
use crate::testing::{CIRCUMSTANCES, cluster, decide_ok, delete, fold, lend, node, place};
use exo_types::{
    JoinTokenId, JoinTokenRecord, KeyFingerprint, Memory, Millis, ModelId, NodeId, ShardAssignments, Sharding,
};

fn code_of(state: &State, command: &Command) -> RefusalCode {
    let id = CommandId::new("c").expect("a good id");
    decide(state, &id, command, &CIRCUMSTANCES).expect_err("refused").code
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
    assert!(state.instances.is_empty() && state.intents.is_empty());
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
        (with(|r| r.sharding = Sharding::Tensor), RefusalCode::DoesNotFit),
        (with(|r| (r.sharding, r.min_nodes) = (Sharding::Tensor, 9)), RefusalCode::Invalid),
        (with(|r| r.context_length = Some(1_000_000)), RefusalCode::Invalid),
        (with(|r| r.node_ids = vec![NodeId::new("gone").expect("a good id")]), RefusalCode::NotFound),
    ] {
        assert_eq!(code_of(&state, &command), expect, "{command:?}");
    }
    let id = CommandId::new("c").expect("a good id");
    let refusal = decide(&state, &id, &place("other", 1), &CIRCUMSTANCES).expect_err("refused");
    assert!(refusal.message.contains("models in the cluster: m"), "{refusal}");
}

#[test]
fn a_tensor_split_gives_every_node_a_share_of_all_layers() {
    let empty = cluster(&[("a", 2000), ("b", 2000), ("c", 2000)]);
    let Command::PlaceInstance(place) = place("m", 3) else { unreachable!("it is a placement") };
    let command = Command::PlaceInstance(PlaceInstance { sharding: Sharding::Tensor, ..place });
    let state = fold(empty.clone(), decide_ok(&empty, "c1", &command).events);
    let instance = state.instances.values().next().expect("placed");
    decide_ok(&empty, "c2", &Command::CreateInstance { instance: instance.clone() });
    let shares: Vec<_> = instance.ranks().iter().map(|(_, _, shard)| (shard.tensor.rank, shard.len())).collect();
    assert_eq!(shares, [(0, 8), (1, 8), (2, 8)]);
    let mut twice = instance.clone();
    twice.shard_assignments.runner_to_shard.values_mut().for_each(|shard| shard.tensor.rank = 0);
    assert_eq!(code_of(&empty, &Command::CreateInstance { instance: twice }), RefusalCode::Invalid);
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

fn drain(name: &str, drained: bool) -> Command {
    Command::DrainNode { node_id: node(name), drained }
}

#[test]
fn a_placement_is_remembered_as_an_intent_until_it_is_deleted() {
    let state = cluster(&[("a", 2000)]);
    let state = fold(state.clone(), decide_ok(&state, "c1", &place("m", 1)).events);
    let intent = state.intents.values().next().expect("asked for").clone();
    assert_eq!((intent.id.as_str(), intent.place.model_id.as_str()), ("c1", "m"));
    let (instance_id, node_id) = (InstanceId::new("c1").expect("a good id"), node("a"));
    let lost = fold(state, [Event::InstanceDeleted { instance_id }, Event::NodeTimedOut { node_id }]);
    let state = fold(lost.clone(), decide_ok(&lost, "c2", &delete("c1")).events);
    assert!(state.intents.is_empty(), "it can be taken back while it has no instance");
}

#[test]
fn a_manual_split_is_an_intent_too() {
    let state = cluster(&[("a", 2000), ("b", 2000)]);
    let placed = fold(state.clone(), decide_ok(&state, "c1", &place("m", 2)).events);
    let instance = placed.instances.values().next().expect("placed").clone();
    let state = fold(state.clone(), decide_ok(&state, "c2", &Command::CreateInstance { instance }).events);
    let intent = state.intents.values().next().expect("asked for");
    assert_eq!((intent.id.as_str(), intent.place.min_nodes, intent.max_sequences), ("c2", 2, Some(8)));
}

#[test]
fn nothing_is_placed_on_a_drained_node() {
    let state = cluster(&[("a", 2000)]);
    let drained = fold(state.clone(), decide_ok(&state, "c1", &drain("a", true)).events);
    assert_eq!(code_of(&drained, &place("m", 1)), RefusalCode::DoesNotFit);
    assert_eq!(decide_ok(&drained, "c2", &drain("a", true)).events, []);
    let again = fold(drained.clone(), decide_ok(&drained, "c3", &drain("a", false)).events);
    assert_eq!(again.instances.len(), 0);
    decide_ok(&again, "c4", &place("m", 1));
    assert_eq!(code_of(&state, &drain("z", true)), RefusalCode::NotFound);
}

#[test]
fn a_node_is_removed_when_it_is_gone() {
    let remove = || Command::RemoveNode { node_id: node("a") };
    let state = cluster(&[("a", 2000)]);
    assert_eq!(code_of(&state, &remove()), RefusalCode::Invalid, "it is there");
    let state = fold(state.clone(), decide_ok(&state, "c1", &drain("a", true)).events);
    let gone = fold(state, [Event::NodeTimedOut { node_id: node("a") }]);
    let removed = fold(gone.clone(), decide_ok(&gone, "c2", &remove()).events);
    assert!(removed.drained_nodes.is_empty());
    assert_eq!(code_of(&removed, &remove()), RefusalCode::NotFound);
}

#[test]
fn a_node_whose_master_runs_is_not_removed_and_it_is_said_what_to_do() {
    let running = BTreeSet::from([node("b")]);
    let circumstances = Circumstances { masters: running.clone(), running_masters: running, ..CIRCUMSTANCES };
    let state = cluster(&[("a", 2000)]);
    let remove = Command::RemoveNode { node_id: node("b") };
    let id = exo_types::CommandId::new("c").expect("a good id");
    let refusal = decide(&state, &id, &remove, &circumstances).expect_err("it would come back at once");
    assert_eq!(refusal.code, RefusalCode::Invalid);
    assert!(
        refusal.message.contains("exo cluster revoke b") && refusal.message.contains("exo node leave"),
        "{refusal}"
    );
    let stopped = Circumstances { running_masters: BTreeSet::new(), ..circumstances };
    assert!(decide(&state, &id, &remove, &stopped).is_ok(), "one that is stopped is forgotten");
}

fn token(name: &str, reusable: bool, expires: Option<u64>) -> JoinTokenRecord {
    let id = JoinTokenId::new(name).expect("a good id");
    let public_key = "0".repeat(64);
    JoinTokenRecord { id, public_key, created: Millis(0), expires: expires.map(Millis), reusable }
}

fn admit(name: &str, key: &str, token: Option<&str>) -> Command {
    Command::AdmitNode {
        node_id: node(name),
        key_fingerprint: KeyFingerprint::new(key.repeat(64)).expect("64 digits"),
        token: token.map(|name| JoinTokenId::new(name).expect("a good id")),
    }
}

#[test]
fn nodes_come_in_by_token_under_one_key_each() {
    let accept = |state: &State, command: Command| fold(state.clone(), decide_ok(state, "c", &command).events);
    let start = accept(&State::default(), admit("a", "a", None));
    let state = accept(&start, Command::CreateJoinToken { token: token("t", false, None) });
    assert_eq!(code_of(&state, &Command::CreateJoinToken { token: token("t", true, None) }), RefusalCode::Invalid);
    assert_eq!(code_of(&state, &admit("b", "b", Some("u"))), RefusalCode::Forbidden, "no such token");
    let state = accept(&state, admit("b", "b", Some("t")));
    assert_eq!(state.identity.admitted.len(), 2);
    assert_eq!(decide_ok(&state, "c", &admit("b", "b", Some("t"))).events, [], "it is in already");
    assert_eq!(code_of(&state, &admit("c", "c", Some("t"))), RefusalCode::Forbidden, "the token is used up");
    assert_eq!(code_of(&state, &admit("b", "d", None)), RefusalCode::Forbidden, "the name is taken");
    let state = accept(&state, Command::RevokeNode { node_id: node("b") });
    assert_eq!(code_of(&state, &admit("b", "b", None)), RefusalCode::Forbidden, "the key is out");
    assert_eq!(code_of(&state, &Command::RevokeNode { node_id: node("b") }), RefusalCode::NotFound);
    let state = accept(&state, Command::DeleteJoinToken { id: JoinTokenId::new("t").expect("a good id") });
    assert!(state.identity.join_tokens.is_empty());
}

#[test]
fn tokens_without_use_make_room_and_their_number_is_bounded() {
    let mut state = State::default();
    for number in 0..1024 {
        let expires = (number == 0).then_some(5);
        state = fold(state, [Event::JoinTokenCreated { token: token(&format!("t{number}"), true, expires) }]);
    }
    let create = |name: &str| Command::CreateJoinToken { token: token(name, true, None) };
    let state = fold(state.clone(), decide_ok(&state, "c", &create("new")).events);
    assert_eq!(state.identity.join_tokens.len(), 1024, "the expired one is gone");
    assert_eq!(code_of(&state, &create("newer")), RefusalCode::Invalid);
}
