use super::*;
use crate::{ConnectOrder, LocalRunner, PeerRank};
use exo_state::apply;
use exo_types::{
    Accelerator, Connection, DownloadProgress, Event, EventIndex, IndexedEvent, Instance, InstanceId, Memory, Millis,
    ModelCard, ModelId, NodeDownload, NodeHardware, NodeId, NodeInfo, NodeLink, NodeResources, RunnerFailure, RunnerId,
    RunnerStatus, SessionId, Shard, ShardAssignments, Sharding, TensorShare,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn runner_id(name: &str) -> RunnerId {
    RunnerId::new(name).expect("a good id")
}

fn card() -> ModelCard {
    ModelCard {
        model_id: ModelId::new("m").expect("a good id"),
        name: String::new(),
        architecture: "llama".to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers: 6,
        hidden_size: 8,
        heads: 4,
        kv_heads: 2,
        context_length: 16,
        kv_bytes_per_token: 4,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::bytes(10),
        storage_size: Memory::bytes(100),
    }
}

/// An instance "i" whose rank r is runner `r<r>` on the r-th node.
fn instance(nodes: &[&str]) -> Instance {
    let world_size = nodes.len() as u32;
    let ranks = || (0u32..).zip(nodes);
    let shard = |device_rank| {
        let end_layer = if device_rank + 1 == world_size { 6 } else { device_rank + 1 };
        Shard { device_rank, world_size, start_layer: device_rank, end_layer, n_layers: 6, tensor: TensorShare::WHOLE }
    };
    let name = |rank| runner_id(&format!("r{rank}"));
    Instance {
        instance_id: InstanceId::new("i").expect("a good id"),
        sharding: Sharding::Pipeline,
        shard_assignments: ShardAssignments {
            model_card: card(),
            runner_to_shard: ranks().map(|(rank, _)| (name(rank), shard(rank))).collect(),
            node_to_runner: ranks().map(|(rank, on)| (node(on), name(rank))).collect(),
        },
        context_length: 16,
        max_sequences: 1,
        intent: None,
    }
}

fn info() -> NodeInfo {
    serde_json::from_value(serde_json::json!({"friendlyName": "a", "version": "0"})).expect("an info")
}

fn resources(free: u64) -> NodeResources {
    NodeResources { ram_total: Memory::mib(64), ram_available: Memory::mib(free) }
}

/// A State in which node "a" is known as it is, with these events on top.
fn state(events: impl IntoIterator<Item = Event>) -> State {
    let session = SessionId { generation: 1, master_node_id: node("m") };
    let known = [
        Event::SessionOpened { session, when: Millis(0) },
        Event::NodeGatheredInfo { node_id: node("a"), info: info() },
        Event::NodeResourcesChanged { node_id: node("a"), resources: resources(32) },
    ];
    let mut state = State::default();
    for (idx, event) in (1..).zip(known.into_iter().chain(events)) {
        apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
    }
    state
}

fn placed(nodes: &[&str], statuses: &[(&str, RunnerStatus)]) -> State {
    let created = Event::InstanceCreated { instance: instance(nodes) };
    let told = statuses.iter().map(|(runner, status)| Event::RunnerStatusUpdated {
        runner_id: runner_id(runner),
        runner_status: status.clone(),
    });
    state([created].into_iter().chain(told))
}

/// Node "a", matching `state([])`, with these runners of instance "i".
fn local(now: Instant, runners: &[(&str, RunnerStatus)]) -> LocalNode {
    let runner = |(name, status): &(&str, RunnerStatus)| {
        let instance_id = InstanceId::new("i").expect("a good id");
        let runner = LocalRunner { instance_id, status: status.clone(), since: now, told_to_connect: None };
        (runner_id(name), runner)
    };
    LocalNode {
        node_id: node("a"),
        info: info(),
        resources: resources(32),
        hardware: None,
        downloads: Vec::new(),
        connections: BTreeSet::new(),
        runners: runners.iter().map(runner).collect::<BTreeMap<_, _>>(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn loaded(endpoint: &str, incarnation: u64) -> RunnerStatus {
    let tensor_endpoint = Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty());
    RunnerStatus::RunnerLoaded { tensor_endpoint, incarnation }
}

fn connecting(endpoint: &str, incarnation: u64) -> RunnerStatus {
    RunnerStatus::RunnerConnecting { tensor_endpoint: Some(endpoint.to_owned()), incarnation }
}

const READY: RunnerStatus = RunnerStatus::RunnerReady { incarnation: 1 };

fn failed(attempt: u32, retry: bool) -> RunnerStatus {
    RunnerStatus::RunnerFailed { failure: RunnerFailure { error_message: "lost".to_owned(), attempt, retry } }
}

fn planned(state: &State, local: &LocalNode, now: Instant) -> Vec<String> {
    plan(state, local, &Backoff::default(), now).actions.iter().map(show).collect()
}

fn show(action: &Action) -> String {
    match action {
        Action::StartRunner { runner_id, losses, .. } => format!("start {runner_id} after {losses}"),
        Action::ConnectRunner { runner_id, order: ConnectOrder { incarnation, peers } } => {
            let to = |peer: &PeerRank| format!(" to {}/{}", peer.endpoint, peer.incarnation);
            format!("connect {runner_id}/{incarnation}{}", peers.iter().map(to).collect::<String>())
        }
        Action::StopRunner { runner_id, .. } => format!("stop {runner_id}"),
        Action::Report(event) => {
            let value = serde_json::to_value(event).expect("writes JSON");
            format!("tell {}", value.as_object().and_then(|map| map.keys().next()).expect("a name"))
        }
    }
}

#[test]
fn without_a_session_nothing_is_done() {
    let now = start();
    let idle = plan(&State::default(), &local(now, &[("r0", READY)]), &Backoff::default(), now);
    assert_eq!(idle, Plan::default());
}

#[test]
fn runners_are_started_connected_and_stopped_as_the_state_wants() {
    let now = start();
    let idle = RunnerStatus::RunnerIdle;
    let tell = "tell RunnerStatusUpdated";
    for (name, state, runners, expect) in [
        ("placed here", placed(&["a"], &[]), vec![], vec!["start r0 after 0"]),
        ("placed elsewhere", placed(&["b"], &[]), vec![], vec![]),
        ("started", placed(&["a"], &[]), vec![("r0", idle.clone())], vec![tell]),
        ("started and told", placed(&["a"], &[("r0", idle.clone())]), vec![("r0", idle.clone())], vec![]),
        ("a world of one", placed(&["a"], &[("r0", loaded("", 4))]), vec![("r0", loaded("", 4))], vec!["connect r0/4"]),
        (
            "the other is loading",
            placed(&["a", "b"], &[("r0", loaded("x:1", 4)), ("r1", idle)]),
            vec![("r0", loaded("x:1", 4))],
            vec![],
        ),
        (
            "all have loaded",
            placed(&["a", "b"], &[("r0", loaded("x:1", 4)), ("r1", loaded("y:2", 7))]),
            vec![("r0", loaded("x:1", 4))],
            vec!["connect r0/4 to y:2/7"],
        ),
        (
            "the last rank connects to the first",
            placed(&["b", "a"], &[("r0", connecting("y:2", 7)), ("r1", loaded("x:1", 4))]),
            vec![("r1", loaded("x:1", 4))],
            vec!["connect r1/4 to y:2/7"],
        ),
        (
            "the next has not noticed the loss",
            placed(&["a", "b"], &[("r0", loaded("x:1", 5)), ("r1", READY)]),
            vec![("r0", loaded("x:1", 5))],
            vec![],
        ),
        (
            "one further on is ready",
            placed(&["a", "b", "c"], &[("r0", loaded("x:1", 5)), ("r1", connecting("y:2", 7)), ("r2", READY)]),
            vec![("r0", loaded("x:1", 5))],
            vec!["connect r0/5 to y:2/7"],
        ),
        ("deleted", state([]), vec![("r0", READY)], vec!["stop r0"]),
        ("deleted after a crash", state([]), vec![("r0", failed(1, true))], vec!["stop r0"]),
        ("deleted and stopping", state([]), vec![("r0", RunnerStatus::RunnerShuttingDown)], vec![]),
        ("ended as wanted", placed(&["a"], &[]), vec![("r0", RunnerStatus::RunnerShutdown)], vec!["start r0 after 0"]),
        ("damaged", placed(&["a"], &[("r0", failed(1, false))]), vec![("r0", failed(1, false))], vec![]),
    ] {
        assert_eq!(planned(&state, &local(now, &runners), now), expect, "{name}");
    }
}

/// Notes that orders to connect were carried out, and tells how many there were.
fn carry_out(state: &State, local: &mut LocalNode, now: Instant) -> usize {
    let mut orders = 0;
    for action in plan(state, local, &Backoff::default(), now).actions {
        let Action::ConnectRunner { runner_id, order } = action else { continue };
        local.runners.get_mut(&runner_id).expect("it is known").told_to_connect = Some(order);
        orders += 1;
    }
    orders
}

#[test]
fn a_runner_is_told_to_connect_once_per_incarnation() {
    let now = start();
    let world_of_one = |incarnation| placed(&["a"], &[("r0", loaded("", incarnation))]);
    let mut node = local(now, &[("r0", loaded("", 4))]);
    assert_eq!(planned(&world_of_one(4), &node, now), ["connect r0/4"]);
    carry_out(&world_of_one(4), &mut node, now);
    assert_eq!(planned(&world_of_one(4), &node, now), [""; 0]);
    node.runners.values_mut().for_each(|runner| runner.status = loaded("", 5));
    assert_eq!(planned(&world_of_one(5), &node, now), ["connect r0/5"]);
}

#[test]
fn a_runner_that_waits_for_a_life_that_is_gone_is_told_of_the_next() {
    let now = start();
    let own = connecting("x:1", 4);
    let shown = |next: RunnerStatus, previous: RunnerStatus| {
        placed(&["a", "b", "c"], &[("r0", own.clone()), ("r1", next), ("r2", previous)])
    };
    let mut node = local(now, &[("r0", loaded("x:1", 4))]);
    carry_out(&shown(loaded("y:2", 7), loaded("z:3", 9)), &mut node, now);
    node.runners.values_mut().for_each(|runner| runner.status = own.clone());
    for (name, next, previous, expect) in [
        ("as told", loaded("y:2", 7), loaded("z:3", 9), vec![]),
        ("it connects too", connecting("y:2", 7), loaded("z:3", 9), vec![]),
        ("another life at the same address", loaded("y:2", 8), loaded("z:3", 9), vec!["connect r0/4 to y:2/8"]),
        ("at another address", connecting("y:5", 8), loaded("z:3", 9), vec!["connect r0/4 to y:5/8"]),
        ("its address is not known", loaded("", 8), loaded("z:3", 9), vec![]),
        ("it has not noticed a loss", READY, loaded("z:3", 9), vec![]),
        ("it is being replaced", failed(1, true), loaded("z:3", 9), vec![]),
        ("one that is not called is another", loaded("y:2", 7), loaded("z:3", 10), vec![]),
        ("one that is not called is replaced", loaded("y:2", 8), failed(1, true), vec![]),
    ] {
        assert_eq!(planned(&shown(next, previous), &node, now), expect, "{name}");
    }
    node.runners.values_mut().for_each(|runner| runner.status = READY);
    let other_life = placed(&["a", "b"], &[("r0", READY), ("r1", loaded("y:2", 8))]);
    assert_eq!(planned(&other_life, &node, now), [""; 0], "a ready one notices that a link breaks");
}

proptest! {
    /// Whatever the others go through: what a rank was told last is what the State shows, as soon as that can be called.
    #[test]
    fn a_rank_that_waits_knows_the_lives_that_it_calls_and_is_told_of_each_once(
        course in proptest::collection::vec((0..2_usize, 0..4_u8, 1..4_u64), 1..30),
    ) {
        let now = start();
        let own = connecting("x:1", 1);
        let mut node = local(now, &[("r0", own.clone())]);
        let mut others = [RunnerStatus::RunnerIdle, RunnerStatus::RunnerIdle];
        for (other, kind, incarnation) in course {
            others[other] = match kind {
                0 => RunnerStatus::RunnerIdle,
                1 => RunnerStatus::RunnerReady { incarnation },
                2 => loaded("y:2", incarnation),
                _ => connecting("y:2", incarnation),
            };
            let [next, last] = others.clone();
            let state = placed(&["a", "b", "c"], &[("r0", own.clone()), ("r1", next.clone()), ("r2", last.clone())]);
            let before = node.clone();
            let orders = carry_out(&state, &mut node, now);
            prop_assert_eq!(orders > 0, node != before, "an order tells something new");
            prop_assert_eq!(carry_out(&state, &mut node, now), 0, "once");
            let called = match next {
                RunnerStatus::RunnerLoaded { incarnation, .. }
                | RunnerStatus::RunnerConnecting { incarnation, .. } => Some(incarnation),
                _ => None,
            };
            if let Some(incarnation) = called && last != RunnerStatus::RunnerIdle {
                let told = node.runners.values().next().and_then(|runner| runner.told_to_connect.as_ref());
                let lives = told.map(|order| order.peers.iter().map(|peer| peer.incarnation).collect::<Vec<_>>());
                prop_assert_eq!(lives, Some(vec![incarnation]));
            } else {
                prop_assert_eq!(orders, 0);
            }
        }
    }
}

#[test]
fn a_crashed_runner_is_started_again_when_its_back_off_ends() {
    let crashed = start();
    let state = placed(&["a"], &[("r0", failed(2, true))]);
    let local = local(crashed, &[("r0", failed(2, true))]);
    let backoff = Backoff::default();
    let end = crashed + backoff.after(2);
    let waiting = plan(&state, &local, &backoff, end - Duration::from_millis(1));
    assert_eq!((waiting.actions.len(), waiting.wake_at), (0, Some(end)));
    assert_eq!(planned(&state, &local, end), ["start r0 after 2"]);
}

#[test]
fn what_the_state_does_not_know_is_told() {
    let now = start();
    let mut changed = local(now, &[]);
    changed.resources = resources(33);
    assert_eq!(planned(&state([]), &changed, now), [""; 0], "a little is not worth telling");
    changed.resources = resources(40);
    changed.info.version = "1".to_owned();
    assert_eq!(planned(&state([]), &changed, now), ["tell NodeGatheredInfo", "tell NodeResourcesChanged"]);
}

#[test]
fn hardware_is_told_when_it_is_known_and_when_it_moved_enough() {
    let now = start();
    let card =
        |free| Accelerator { memory_total: Memory::mib(64), memory_free: Memory::mib(free), ..Accelerator::default() };
    let link = |speed| NodeLink { name: "eth0".to_owned(), speed_mbit: Some(speed), ..NodeLink::default() };
    let hardware = |rate, free, speed| NodeHardware {
        memory_bandwidth: rate,
        accelerators: vec![card(free)],
        links: vec![link(speed)],
    };
    let of = |hardware| Event::NodeHardwareChanged { node_id: node("a"), hardware };
    let told = state([of(hardware(Some(800), 32, 1000))]);
    let check = |state: &State, hardware: Option<NodeHardware>, expect: &[&str]| {
        let local = LocalNode { hardware: hardware.clone(), ..local(now, &[]) };
        assert_eq!(planned(state, &local, now), expect, "{hardware:?}");
    };
    let news = ["tell NodeHardwareChanged"];
    check(&told, None, &[]);
    check(&state([]), Some(hardware(None, 32, 1000)), &news);
    check(&told, Some(hardware(Some(900), 33, 1000)), &[]);
    check(&told, Some(hardware(None, 32, 1000)), &[]);
    check(&told, Some(hardware(Some(901), 32, 1000)), &news);
    check(&told, Some(hardware(Some(800), 40, 1000)), &news);
    check(&told, Some(hardware(Some(800), 32, 100)), &news);
    check(&told, Some(NodeHardware { accelerators: Vec::new(), ..hardware(Some(800), 32, 1000) }), &news);
    let mut broken = hardware(Some(800), 32, 1000);
    broken.accelerators[0].unusable = Some("no driver".to_owned());
    check(&told, Some(broken), &news);
}

#[test]
fn models_that_come_and_go_are_told() {
    let now = start();
    let of = |progress| NodeDownload { node_id: node("a"), model_card: card(), progress };
    let total = Memory::bytes(100);
    let ongoing = |bytes| of(DownloadProgress::DownloadOngoing { total, downloaded: Memory::bytes(bytes) });
    let told = state([Event::NodeDownloadProgress { download: ongoing(10) }]);
    let mut local = local(now, &[]);
    for (downloads, expect) in [
        (vec![ongoing(10)], vec![]),
        (vec![ongoing(19)], vec![]),
        (vec![ongoing(20)], vec!["tell NodeDownloadProgress"]),
        (vec![of(DownloadProgress::DownloadCompleted { total })], vec!["tell NodeDownloadProgress"]),
        (vec![], vec!["tell NodeDownloadRemoved"]),
    ] {
        local.downloads = downloads;
        assert_eq!(planned(&told, &local, now), expect);
    }
}

#[test]
fn ways_are_told_when_they_appear_and_vanish_but_only_to_nodes_that_are_there() {
    let now = start();
    let way = |sink: &str| Connection { source: node("a"), sink: node(sink), sink_address: "10.0.0.2".to_owned() };
    let b = Event::NodeGatheredInfo { node_id: node("b"), info: info() };
    let mut local = local(now, &[]);
    local.connections = BTreeSet::from([way("b"), way("gone")]);
    assert_eq!(planned(&state([b.clone()]), &local, now), ["tell TopologyEdgeCreated"]);
    let known = state([b, Event::TopologyEdgeCreated { connection: way("b") }]);
    assert_eq!(planned(&known, &local, now), [""; 0]);
    local.connections.clear();
    assert_eq!(planned(&known, &local, now), ["tell TopologyEdgeDeleted"]);
}

#[test]
fn progress_of_loading_is_told_in_tenths() {
    let now = start();
    let loading = |layers_loaded| RunnerStatus::RunnerLoading { layers_loaded, total_layers: 100 };
    let told = placed(&["a"], &[("r0", loading(10))]);
    for (layers, expect) in [(10, 0), (19, 0), (20, 1), (100, 1)] {
        assert_eq!(planned(&told, &local(now, &[("r0", loading(layers))]), now).len(), expect, "{layers}");
    }
}
