use super::*;
use crate::testing::{
    appears, created, download, hardware, indexed, instance, node, resources, runner, session, task, way,
};
use crate::{JoinTokenState, check_invariants, decode_state, encode_state};
use exo_types::{
    Births, CommandId, FactId, Instance, InstanceId, Intent, IntentId, JoinTokenId, JoinTokenRecord, KeyFingerprint,
    LogPlace, Millis, OriginEpoch, OriginSequence, RunnerFailure, RunnerId, RunnerStatus, SessionId, TaskId,
    TaskStatus, UnknownEvent,
};
use proptest::prelude::*;

/// Folds from nothing; every event must be the next one.
fn fold(events: Vec<Event>) -> (State, Vec<Applied>) {
    let mut state = State::default();
    let outcomes = indexed(events).iter().map(|event| apply(&mut state, event)).collect();
    check_invariants(&state).expect("invariants hold");
    (state, outcomes)
}

fn status(name: &str, runner_status: RunnerStatus) -> Event {
    Event::RunnerStatusUpdated { runner_id: runner(name), runner_status }
}

fn deleted(name: &str) -> Event {
    Event::InstanceDeleted { instance_id: InstanceId::new(name).expect("a good id") }
}

fn lost(name: &str) -> Event {
    Event::NodeTimedOut { node_id: node(name) }
}

const READY: RunnerStatus = RunnerStatus::RunnerReady { incarnation: 1 };

#[test]
fn an_event_that_is_not_next_changes_nothing() {
    let (mut state, _) = fold(vec![appears("a"), appears("b")]);
    let before = state.clone();
    for idx in [0, 1, 2, 4, u64::MAX] {
        let event = IndexedEvent { idx: EventIndex(idx), origin: None, event: appears("c") };
        let expect = Applied::OutOfOrder { expected: EventIndex(3), got: EventIndex(idx) };
        assert_eq!(apply(&mut state, &event), expect);
        assert_eq!(state, before);
    }
}

/// A State of somebody else may have any numbers.
#[test]
fn counters_at_their_ends_stay_there() {
    let last = u64::MAX;
    let mut state = State {
        last_event_applied_idx: EventIndex(last - 1),
        commands_seen: last,
        session: Some(session()),
        ..State::default()
    };
    let accepted = |name: &str, idx| {
        let command_id = CommandId::new(name).expect("a good id");
        let fact = FactId { node_id: node("a"), epoch: OriginEpoch(last), sequence: OriginSequence(last) };
        let event = Event::CommandAccepted { command_id, task_id: None, instance_id: None };
        IndexedEvent { idx: EventIndex(idx), origin: Some(fact), event }
    };
    assert_eq!(apply(&mut state, &accepted("one", last)), Applied::Changed);
    assert_eq!((state.commands_seen, state.last_event_applied_idx), (last, EventIndex(last)));
    let before = state.clone();
    for idx in [0, last] {
        let expect = Applied::OutOfOrder { expected: EventIndex(last), got: EventIndex(idx) };
        assert_eq!(apply(&mut state, &accepted("two", idx)), expect);
        assert_eq!(state, before);
    }
}

#[test]
fn a_lost_node_leaves_the_state_everywhere_but_in_the_assignments() {
    let (state, _) = fold(vec![
        appears("a"),
        appears("b"),
        resources("b", 3),
        hardware("b"),
        download("b", "m"),
        Event::TopologyEdgeCreated { connection: way("a", "b") },
        Event::TopologyEdgeCreated { connection: way("b", "a") },
        created("i", &["a", "b"]),
        status("i-0", READY),
        status("i-1", READY),
        lost("b"),
    ]);
    let gone = node("b");
    assert!(!state.topology.nodes.contains(&gone) && state.topology.connections.is_empty());
    assert!(!state.node_identities.contains_key(&gone) && !state.node_memory.contains_key(&gone));
    assert!(!state.node_hardware.contains_key(&gone));
    assert!(!state.downloads.contains_key(&gone));
    assert_eq!(state.runners.keys().map(RunnerId::as_str).collect::<Vec<_>>(), ["i-0"]);
    let kept = state.instances.values().next().expect("the instance stays");
    assert_eq!(state.lost_nodes(kept).collect::<Vec<_>>(), [&gone]);
    assert!(!state.is_ready(kept));
}

#[test]
fn a_deleted_instance_takes_its_runners_and_ends_its_open_tasks() {
    let (state, _) = fold(vec![
        created("i", &["a"]),
        created("j", &["a"]),
        task("t", "i", TaskStatus::Pending),
        task("u", "j", TaskStatus::Pending),
        status("i-0", READY),
        status("j-0", READY),
        deleted("i"),
        status("i-0", READY),
    ]);
    assert_eq!(state.runners.keys().map(RunnerId::as_str).collect::<Vec<_>>(), ["j-0"]);
    let statuses: Vec<_> = state.tasks.values().map(|task| task.task_status).collect();
    assert_eq!(statuses, [TaskStatus::Cancelled, TaskStatus::Pending]);
}

#[test]
fn an_instance_that_cannot_be_is_skipped() {
    let mut hollow = instance("h", &["a"]);
    hollow.shard_assignments.runner_to_shard.clear();
    let mut thief = instance("thief", &["a"]);
    thief.shard_assignments = instance("i", &["b"]).shard_assignments;
    let (state, outcomes) = fold(vec![
        created("i", &["a"]),
        created("i", &["b"]),
        Event::InstanceCreated { instance: hollow },
        Event::InstanceCreated { instance: thief },
    ]);
    assert_eq!(state.instances.len(), 1);
    assert!(outcomes[1..].iter().all(|outcome| matches!(outcome, Applied::Skipped(Skip::Invalid { .. }))));
}

fn intent(name: &str) -> Event {
    let place = exo_types::PlaceInstance {
        model_id: exo_types::ModelId::new("model").expect("a good id"),
        sharding: exo_types::Sharding::Pipeline,
        min_nodes: 1,
        node_ids: Vec::new(),
        context_length: None,
    };
    Event::IntentRecorded { intent: Intent { id: intent_id(name), place, max_sequences: None } }
}

fn intent_id(name: &str) -> IntentId {
    IntentId::new(name).expect("a good id")
}

fn withdrawn(name: &str) -> Event {
    Event::IntentWithdrawn { intent_id: intent_id(name) }
}

fn granting(name: &str, nodes: &[&str], of: &str) -> Event {
    Event::InstanceCreated { instance: Instance { intent: Some(intent_id(of)), ..instance(name, nodes) } }
}

fn accepted(name: &str) -> Event {
    let command_id = exo_types::CommandId::new(name).expect("a good id");
    Event::CommandAccepted { command_id, task_id: None, instance_id: None }
}

fn token(name: &str, reusable: bool) -> Event {
    let (id, public_key) = (JoinTokenId::new(name).expect("a good id"), "00".repeat(32));
    let token = JoinTokenRecord { id, public_key, created: Millis(0), expires: None, reusable };
    Event::JoinTokenCreated { token }
}

fn used(name: &str, by: &str) -> Event {
    Event::JoinTokenUsed { id: JoinTokenId::new(name).expect("a good id"), node_id: node(by) }
}

/// `key` is a hexadecimal digit.
fn admitted(name: &str, key: &str) -> Event {
    let key_fingerprint = KeyFingerprint::new(key.repeat(64)).expect("64 digits");
    Event::NodeAdmitted { node_id: node(name), key_fingerprint }
}

fn revoked(name: &str) -> Event {
    Event::NodeRevoked { node_id: node(name) }
}

fn key_revoked(name: &str, key: &str) -> Event {
    let key_fingerprint = KeyFingerprint::new(key.repeat(64)).expect("64 digits");
    Event::KeyRevoked { node_id: node(name), key_fingerprint }
}

/// With that thing of each kind in it.
fn session_adopted(generation: u64, idx: u64, name: &str, of: &str) -> Event {
    let end = LogPlace { session: SessionId { generation, ..session() }, idx: EventIndex(idx) };
    let births = Births {
        intents: [(intent_id(name), end.clone())].into(),
        instances: [(InstanceId::new(name).expect("a good id"), end.clone())].into(),
        join_tokens: [(JoinTokenId::new(name).expect("a good id"), end.clone())].into(),
        admitted: [(node(of), end.clone())].into(),
        drained: [(node(of), end.clone())].into(),
    };
    Event::SessionAdopted { histories: vec![end], births }
}

fn is_skipped(outcome: &Applied) -> bool {
    matches!(outcome, Applied::Skipped(_))
}

#[test]
fn an_accepted_command_counts_once_and_is_remembered() {
    let (state, outcomes) = fold(vec![accepted("c"), accepted("c"), accepted("d")]);
    assert_eq!((state.commands_seen, state.accepted_commands.len()), (2, 2));
    assert_eq!(outcomes[1], Applied::Skipped(Skip::NoChange));
}

#[test]
fn an_intent_outlives_its_instance_and_an_instance_of_one_taken_back_does_not_come_again() {
    let (state, outcomes) = fold(vec![
        granting("i", &["a"], "x"),
        intent("x"),
        granting("i", &["a"], "x"),
        granting("j", &["b"], "x"),
        deleted("i"),
        granting("j", &["b"], "x"),
        withdrawn("x"),
        withdrawn("x"),
        deleted("j"),
        granting("i", &["a"], "x"),
    ]);
    let skipped: Vec<bool> = outcomes.iter().map(is_skipped).collect();
    assert_eq!(skipped, [true, false, false, true, false, false, false, true, false, true]);
    assert!(state.intents.is_empty() && state.instances.is_empty());
    let (state, _) = fold(vec![intent("x"), granting("i", &["a"], "x"), deleted("i")]);
    assert_eq!(state.open_intents().count(), 1);
    let (state, _) = fold(vec![intent("x"), granting("i", &["a"], "x"), withdrawn("x")]);
    assert_eq!(state.instances.values().next().and_then(|kept| kept.intent.clone()), None);
}

#[test]
fn a_drained_node_stays_drained_while_it_is_away_and_a_removed_one_is_forgotten() {
    let drained = |drained| Event::NodeDrained { node_id: node("a"), drained };
    let removed = || Event::NodeRemoved { node_id: node("a") };
    let (state, _) = fold(vec![appears("a"), drained(true), lost("a"), appears("a")]);
    assert!(!state.is_usable(&node("a")));
    let (state, outcomes) = fold(vec![appears("a"), admitted("a", "1"), drained(true), drained(true), removed()]);
    assert!(is_skipped(&outcomes[3]) && state.drained_nodes.is_empty() && state.identity.is_empty());
    assert!(state.topology.nodes.is_empty());
    let (state, outcomes) = fold(vec![admitted("a", "1"), revoked("a"), removed(), appears("a"), removed()]);
    assert_eq!(state.identity.revoked.values().collect::<Vec<_>>(), [&node("a")], "its certificate stays refused");
    assert!(is_skipped(&outcomes[2]) && !is_skipped(&outcomes[4]));
}

#[test]
fn a_token_that_admits_one_node_admits_one() {
    let (state, outcomes) =
        fold(vec![token("t", false), used("t", "a"), used("t", "a"), used("t", "b"), token("t", true), used("u", "a")]);
    let skipped: Vec<bool> = outcomes.iter().map(is_skipped).collect();
    assert_eq!(skipped, [false, false, true, true, true, true]);
    assert!(state.identity.join_tokens.values().all(JoinTokenState::is_used_up));
    let (state, _) = fold(vec![token("t", true), used("t", "a"), used("t", "b")]);
    assert!(state.identity.join_tokens.values().all(|token| token.used_by.len() == 2 && !token.is_used_up()));
}

#[test]
fn a_name_belongs_to_its_first_key_and_a_revoked_key_stays_out() {
    for (events, expect) in [
        (vec![admitted("a", "1"), admitted("a", "1")], [false, true, true]),
        (vec![admitted("a", "1"), admitted("a", "2")], [false, true, true]),
        (vec![admitted("a", "1"), revoked("a"), admitted("a", "1")], [false, false, true]),
        (vec![admitted("a", "1"), revoked("a"), admitted("a", "2")], [false, false, false]),
        (vec![revoked("a")], [true, true, true]),
    ] {
        let (_, outcomes) = fold(events);
        let skipped: Vec<bool> = outcomes.iter().map(is_skipped).collect();
        assert_eq!(skipped, expect[..skipped.len()]);
    }
}

#[test]
fn an_ended_task_stays_ended() {
    let id = TaskId::new("t").expect("a good id");
    let running = Event::TaskStatusUpdated { task_id: id.clone(), task_status: TaskStatus::Running };
    let failed = Event::TaskFailed { task_id: id.clone(), error_message: "no room".to_owned() };
    let (state, outcomes) =
        fold(vec![created("i", &["a"]), task("t", "i", TaskStatus::Pending), running.clone(), failed, running]);
    let task = &state.tasks[&id];
    assert_eq!((task.task_status, task.error_message.as_deref()), (TaskStatus::Failed, Some("no room")));
    assert!(matches!(outcomes[4], Applied::Skipped(Skip::Invalid { .. })));
}

#[test]
fn a_way_to_a_node_that_is_gone_does_not_bring_it_back() {
    let (state, outcomes) =
        fold(vec![appears("a"), appears("b"), lost("b"), Event::TopologyEdgeCreated { connection: way("a", "b") }]);
    assert_eq!(state.topology.nodes.len(), 1);
    assert!(matches!(outcomes[3], Applied::Skipped(Skip::Unknown { .. })));
}

#[test]
fn a_fact_is_applied_once() {
    let mut state = State::default();
    let fact = |idx, sequence, event| IndexedEvent {
        idx: EventIndex(idx),
        origin: Some(FactId { node_id: node("a"), epoch: OriginEpoch(9), sequence: OriginSequence(sequence) }),
        event,
    };
    assert_eq!(apply(&mut state, &fact(1, 1, resources("a", 1))), Applied::Changed);
    assert_eq!(apply(&mut state, &fact(2, 2, resources("a", 2))), Applied::Changed);
    assert_eq!(apply(&mut state, &fact(3, 1, resources("a", 1))), Applied::Skipped(Skip::Repeated));
    assert_eq!(state.free_memory(&node("a")), exo_types::Memory::mib(2));
    assert_eq!(state.last_event_applied_idx, EventIndex(3));
}

#[test]
fn an_event_of_a_newer_version_moves_only_the_index() {
    let unknown = Event::Unknown(UnknownEvent { name: "MoonRose".to_owned(), fields: None });
    let (state, outcomes) = fold(vec![appears("a"), unknown]);
    assert_eq!(outcomes[1], Applied::Skipped(Skip::NewerVersion { name: "MoonRose".to_owned() }));
    let (before, _) = fold(vec![appears("a")]);
    assert_eq!(state, State { last_event_applied_idx: EventIndex(2), ..before });
}

#[test]
fn an_instance_is_ready_when_all_its_runners_are() {
    let model = exo_types::ModelId::new("model").expect("a good id");
    let mut events = vec![created("i", &["a", "b"]), status("i-0", READY)];
    let (state, _) = fold(events.clone());
    assert_eq!(state.ready_instances(&model).count(), 0);
    assert_eq!(state.progress_of(&instance("i", &["a", "b"])), TaskStatus::Running);
    events.push(status("i-1", READY));
    let (state, _) = fold(events);
    assert_eq!(state.ready_instances(&model).count(), 1);
    assert_eq!(state.progress_of(&instance("i", &["a", "b"])), TaskStatus::Complete);
}

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn any_status() -> impl Strategy<Value = RunnerStatus> {
    let failure = RunnerFailure { error_message: "lost".to_owned(), attempt: 1, retry: true };
    prop::sample::select(vec![
        RunnerStatus::RunnerIdle,
        RunnerStatus::RunnerLoading { layers_loaded: 1, total_layers: 3 },
        RunnerStatus::RunnerLoaded { tensor_endpoint: None, incarnation: 1 },
        RunnerStatus::RunnerConnecting { tensor_endpoint: None, incarnation: 1 },
        READY,
        RunnerStatus::RunnerShuttingDown,
        RunnerStatus::RunnerShutdown,
        RunnerStatus::RunnerFailed { failure },
    ])
}

fn any_event() -> impl Strategy<Value = Event> {
    let task_id = || any_name().prop_map(|name| TaskId::new(name).expect("a good id"));
    let task_status = || prop::sample::select(vec![TaskStatus::Pending, TaskStatus::Running, TaskStatus::Complete]);
    prop_oneof![
        any_name().prop_map(appears),
        (any_name(), 0u64..64).prop_map(|(name, free)| resources(name, free)),
        any_name().prop_map(lost),
        (any_name(), any_name()).prop_map(|(name, model)| download(name, model)),
        (any_name(), any_name()).prop_map(|(name, model)| Event::NodeDownloadRemoved {
            node_id: node(name),
            model_id: exo_types::ModelId::new(model).expect("a good id"),
        }),
        (any_name(), any_name()).prop_map(|(a, b)| Event::TopologyEdgeCreated { connection: way(a, b) }),
        (any_name(), any_name()).prop_map(|(a, b)| Event::TopologyEdgeDeleted { connection: way(a, b) }),
        (any_name(), prop::sample::subsequence(vec!["a", "b", "c"], 0..=3))
            .prop_map(|(name, nodes)| created(name, &nodes)),
        any_name().prop_map(deleted),
        (any_name(), 0..3, any_status()).prop_map(|(name, rank, s)| status(&format!("{name}-{rank}"), s)),
        (any_name(), any_name(), task_status()).prop_map(|(name, of, s)| task(name, of, s)),
        (task_id(), task_status()).prop_map(|(task_id, task_status)| Event::TaskStatusUpdated { task_id, task_status }),
        task_id().prop_map(|task_id| Event::TaskFailed { task_id, error_message: "no".to_owned() }),
        task_id().prop_map(|task_id| Event::TaskDeleted { task_id }),
        any_name().prop_map(accepted),
        any_name().prop_map(intent),
        any_name().prop_map(withdrawn),
        (any_name(), any_name(), any_name()).prop_map(|(name, on, of)| granting(name, &[on], of)),
        (any_name(), any::<bool>()).prop_map(|(name, drained)| Event::NodeDrained { node_id: node(name), drained }),
        any_name().prop_map(|name| Event::NodeRemoved { node_id: node(name) }),
        (any_name(), any::<bool>()).prop_map(|(name, reusable)| token(name, reusable)),
        (any_name(), any_name()).prop_map(|(name, by)| used(name, by)),
        any_name().prop_map(|name| Event::JoinTokenDeleted { id: JoinTokenId::new(name).expect("a good id") }),
        (any_name(), any_name()).prop_map(|(name, key)| admitted(name, key)),
        any_name().prop_map(revoked),
        (any_name(), any_name()).prop_map(|(name, key)| key_revoked(name, key)),
        (1u64..4).prop_map(|generation| {
            Event::SessionOpened { session: SessionId { generation, ..session() }, when: Millis(1) }
        }),
        (1u64..6, 0u64..40, any_name(), any_name())
            .prop_map(|(generation, idx, name, node)| { session_adopted(generation, idx, name, node) }),
        Just(Event::Unknown(UnknownEvent { name: "New".to_owned(), fields: None })),
    ]
}

fn any_indexed() -> impl Strategy<Value = IndexedEvent> {
    let fact = (any_name(), 0u64..12, 0u64..5).prop_map(|(name, epoch, sequence)| FactId {
        node_id: node(name),
        epoch: OriginEpoch(epoch),
        sequence: OriginSequence(sequence),
    });
    (prop::option::of(fact), any_event(), prop::bool::weighted(0.1)).prop_map(|(origin, event, misplaced)| {
        // Zero stands for "the next one"; the test puts it right.
        IndexedEvent { idx: EventIndex(if misplaced { 999_999 } else { 0 }), origin, event }
    })
}

proptest! {
    #[test]
    fn whatever_comes_the_fold_is_total_deterministic_and_keeps_its_invariants(
        events in prop::collection::vec(any_indexed(), 0..80)
    ) {
        let mut state = State::default();
        let mut twin = State::default();
        for mut event in events {
            if event.idx == EventIndex(0) {
                event.idx = state.last_event_applied_idx.next();
            }
            let before = state.last_event_applied_idx;
            let outcome = apply(&mut state, &event);
            prop_assert_eq!(&outcome, &apply(&mut twin, &event));
            let moved = state.last_event_applied_idx != before;
            let out_of_order = matches!(outcome, Applied::OutOfOrder { .. });
            prop_assert_eq!(moved, !out_of_order);
            prop_assert_eq!(check_invariants(&state), Ok(()));
        }
        prop_assert_eq!(&state, &twin);
        let stored = encode_state(&state).expect("encodes");
        prop_assert_eq!(&decode_state(&stored).expect("decodes"), &state);
        let json = serde_json::to_string(&state).expect("writes JSON");
        prop_assert_eq!(serde_json::from_str::<State>(&json).expect("reads JSON"), state);
    }
}
