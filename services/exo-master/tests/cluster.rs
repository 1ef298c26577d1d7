//! A master with workers and an api over the memory bus, under paused time: whatever is lost, repeated, swapped or
//! killed, what was acknowledged stays, and everybody ends with the same State.

use exo_bus::{Bus, Faults, MemoryNetwork};
use exo_log::single::{EventLog, MemoryStorage};
use exo_master::{LogSource, MasterError, MasterOptions, run_over};
use exo_node::{CommandError, Identity, Node, NodeHandle, Role, View};
use exo_types::{
    Command, CommandReply, CpuInfo, DownloadProgress, Event, EventIndex, Memory, ModelCard, ModelId, NodeDownload,
    NodeId, NodeInfo, NodeResources, PlaceInstance, RefusalCode, RunnerStatus, Sharding, TaskStatus,
};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);

fn node_id(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn model() -> ModelId {
    ModelId::new("m").expect("a good id")
}

fn card() -> ModelCard {
    ModelCard {
        model_id: model(),
        name: String::new(),
        architecture: "llama".to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers: 8,
        hidden_size: 64,
        context_length: 4096,
        kv_bytes_per_token: 16,
        layer_size: Memory::mib(100),
        storage_size: Memory::mib(900),
    }
}

/// What a worker tells when it comes.
fn arrival(name: &str) -> [Event; 3] {
    let info = NodeInfo {
        friendly_name: name.to_owned(),
        version: "0".to_owned(),
        os: String::new(),
        cpu: CpuInfo { physical_cores: 2, ..CpuInfo::default() },
        addresses: vec!["127.0.0.1".to_owned()],
        api_port: None,
    };
    let resources = NodeResources { ram_total: Memory::mib(4000), ram_available: Memory::mib(2000) };
    let progress = DownloadProgress::DownloadCompleted { total: Memory::mib(900) };
    let download = NodeDownload { node_id: node_id(name), model_card: card(), progress };
    [
        Event::NodeGatheredInfo { node_id: node_id(name), info },
        Event::NodeResourcesChanged { node_id: node_id(name), resources },
        Event::NodeDownloadProgress { download },
    ]
}

fn place(min_nodes: u32) -> Command {
    Command::PlaceInstance(PlaceInstance {
        model_id: model(),
        sharding: Sharding::Pipeline,
        min_nodes,
        node_ids: Vec::new(),
        context_length: None,
    })
}

struct Master {
    bus: Bus,
    stop: CancellationToken,
    task: JoinHandle<Result<(), MasterError>>,
}

/// Starts a master on `name` with that log.
async fn master(network: &MemoryNetwork, name: &str, storage: &MemoryStorage, options: MasterOptions) -> Master {
    let bus = network.join(node_id(name)).await.expect("joins");
    let (log, recovered) = EventLog::over(storage.clone()).expect("opens");
    let source = LogSource { log, recovered, directory: None };
    let stop = CancellationToken::new();
    let running = run_over(bus.clone(), options, source, None, stop.clone());
    #[expect(clippy::disallowed_methods, reason = "the test owns the task through its handle")]
    let task = tokio::spawn(running);
    Master { bus, stop, task }
}

impl Master {
    /// Ends it as `kill -9` would.
    async fn kill(self, network: &MemoryNetwork) {
        network.kill(self.bus.process());
        self.task.abort();
        let _aborted = self.task.await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("ends well");
    }
}

struct Member {
    bus: Bus,
    node: NodeHandle,
}

async fn member(network: &MemoryNetwork, name: &str, role: Role) -> Member {
    let bus = network.join(node_id(name)).await.expect("joins");
    let node = Node::join(&bus, Identity { node_id: node_id(name), role }).await.expect("joins");
    Member { bus, node }
}

/// A worker that has told what it is.
async fn worker(network: &MemoryNetwork, name: &str) -> Member {
    let member = member(network, name, Role::Worker).await;
    member.node.announce().await.expect("announces");
    for event in arrival(name) {
        member.node.facts().report(event);
    }
    member
}

impl Member {
    async fn until(&self, what: &str, holds: impl FnMut(&View) -> bool) -> View {
        let mut view = self.node.view();
        let seen = tokio::time::timeout(PATIENCE, view.wait_for(holds)).await;
        let Ok(seen) = seen else { panic!("{what}: {:?}", self.node.view().borrow().state) };
        seen.expect("the node follows").clone()
    }

    async fn send(&self, command: Command) -> Result<CommandReply, CommandError> {
        self.node.commands().send(command, Duration::from_secs(60)).await
    }
}

fn is_accepted(reply: &CommandReply) -> bool {
    matches!(reply, CommandReply::Accepted { .. })
}

#[tokio::test(start_paused = true)]
async fn a_placement_is_accepted_and_comes_to_everybody() {
    let network = MemoryNetwork::new(1);
    let storage = MemoryStorage::default();
    let master = master(&network, "a", &storage, MasterOptions::default()).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    let api = member(&network, "c", Role::Api).await;
    api.until("both workers are known", |view| view.state.model_cards().len() == 1 && view.state.downloads.len() == 2)
        .await;
    let reply = api.send(place(2)).await.expect("answered");
    let CommandReply::Accepted { task_id: Some(task_id), instance_id: Some(instance_id), .. } = reply else {
        panic!("{reply:?}")
    };
    for (member, rank) in [(&a, 0), (&b, 1)] {
        let view = member.until("the instance", |view| view.state.instances.contains_key(&instance_id)).await;
        let instance = &view.state.instances[&instance_id];
        let (runner, shard) = instance.runner_on(member.node.node_id()).expect("placed here");
        assert_eq!(shard.device_rank, rank);
        let runner_status = RunnerStatus::RunnerReady { incarnation: 1 };
        member.node.facts().report(Event::RunnerStatusUpdated { runner_id: runner.clone(), runner_status });
    }
    let done = |view: &View| view.state.tasks.get(&task_id).is_some_and(|t| t.task_status == TaskStatus::Complete);
    let view = api.until("the task is complete", done).await;
    assert_eq!(view.state.ready_instances(&model()).count(), 1);
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_master_loses_nothing_that_it_acknowledged_and_disturbs_nobody() {
    let network = MemoryNetwork::new(2);
    let storage = MemoryStorage::default();
    let first = master(&network, "a", &storage, MasterOptions::default()).await;
    let worker = worker(&network, "b").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
    first.kill(&network).await;
    let view = worker.until("the master is gone", |view| view.leader.is_none()).await;
    assert_eq!(view.state.instances.len(), 1, "the State stays");
    let reply = worker.node.commands().send(place(1), SECOND).await;
    assert!(matches!(reply, Err(CommandError::NoLeader)), "{reply:?}");
    worker.node.facts().report(Event::NodeResourcesChanged {
        node_id: node_id("b"),
        resources: NodeResources { ram_total: Memory::mib(4000), ram_available: Memory::mib(1) },
    });
    let second = master(&network, "a", &storage, MasterOptions::default()).await;
    let told = |view: &View| view.state.free_memory(&node_id("b")) == Memory::mib(1);
    let view = worker.until("the fact told meanwhile is in the log", told).await;
    assert_eq!(view.state.instances.len(), 1);
    assert!(view.leader.is_some() && view.is_joined());
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn loss_repetition_and_reordering_change_nothing_in_the_end() {
    for seed in 0..8 {
        let network = MemoryNetwork::new(seed);
        network.set_faults(Faults {
            delay: Duration::ZERO..=Duration::from_millis(40),
            loss: 0.2,
            duplication: 0.2,
            reorder: true,
        });
        let storage = MemoryStorage::default();
        let master = master(&network, "m", &storage, MasterOptions::default()).await;
        let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
        for free in 1..40 {
            let resources = NodeResources { ram_total: Memory::mib(4000), ram_available: Memory::mib(1000 + free) };
            a.node.facts().report(Event::NodeResourcesChanged { node_id: node_id("a"), resources });
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        b.until("both are known", |view| view.state.downloads.len() == 2).await;
        // Each answer may be lost; the command is carried out once all the same.
        for _ in 0..3 {
            assert!(is_accepted(&b.send(place(1)).await.expect("answered")), "seed {seed}");
        }
        network.set_faults(Faults::default());
        let settled =
            |view: &View| view.state.instances.len() == 3 && view.state.free_memory(&node_id("a")) == Memory::mib(1039);
        let (of_a, of_b) = (a.until("settled", settled).await, b.until("settled", settled).await);
        assert_eq!(of_a.state.instances, of_b.state.instances, "seed {seed}");
        assert_eq!((a.node.facts().pending(), b.node.facts().pending()), (0, 0), "seed {seed}");
        master.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_commands_and_keeps_facts_for_later() {
    let network = MemoryNetwork::new(3);
    let storage = MemoryStorage::default();
    let master = master(&network, "a", &storage, MasterOptions::default()).await;
    let worker = worker(&network, "b").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    storage.switch().set(false);
    let reply = worker.send(place(1)).await.expect("answered");
    assert!(
        matches!(&reply, CommandReply::Refused(refusal) if refusal.code == RefusalCode::LogUnavailable),
        "{reply:?}"
    );
    let resources = NodeResources { ram_total: Memory::mib(4000), ram_available: Memory::mib(1500) };
    worker.node.facts().report(Event::NodeResourcesChanged { node_id: node_id("b"), resources });
    tokio::time::sleep(SECOND * 20).await;
    assert_eq!(worker.node.facts().pending(), 1);
    storage.switch().set(true);
    worker.until("the fact comes", |view| view.state.free_memory(&node_id("b")) == Memory::mib(1500)).await;
    assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_marked_within_three_seconds_and_its_instance_placed_anew_within_five() {
    let network = MemoryNetwork::new(4);
    let storage = MemoryStorage::default();
    let master = master(&network, "m", &storage, MasterOptions::default()).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    a.until("both are known", |view| view.state.downloads.len() == 2).await;
    assert!(is_accepted(&a.send(place(2)).await.expect("answered")));
    let died = tokio::time::Instant::now();
    network.kill(b.bus.process());
    drop(b);
    a.until("b is gone", |view| !view.state.topology.nodes.contains(&node_id("b"))).await;
    assert!(died.elapsed() < SECOND * 3, "{:?}", died.elapsed());
    let moved = |view: &View| {
        let mut instances = view.state.instances.values();
        instances.any(|i| i.ranks().len() == 1 && i.runner_on(&node_id("a")).is_some())
    };
    a.until("placed anew", moved).await;
    assert!(died.elapsed() < SECOND * 5, "{:?}", died.elapsed());
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_back_within_the_grace_is_not_lost() {
    let network = MemoryNetwork::new(5);
    let storage = MemoryStorage::default();
    let master = master(&network, "m", &storage, MasterOptions::default()).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    a.until("both are known", |view| view.state.downloads.len() == 2).await;
    network.kill(b.bus.process());
    drop(b);
    tokio::time::sleep(SECOND * 2).await;
    let again = worker(&network, "b").await;
    tokio::time::sleep(SECOND * 20).await;
    let view = again.until("still there", |view| view.is_joined()).await;
    assert!(view.state.topology.nodes.contains(&node_id("b")));
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_master_stands_by_and_refuses_commands() {
    let network = MemoryNetwork::new(6);
    let (first_log, second_log) = (MemoryStorage::default(), MemoryStorage::default());
    let first = master(&network, "a", &first_log, MasterOptions::default()).await;
    let worker = worker(&network, "b").await;
    worker.until("a leads", |view| view.leader == Some(node_id("a"))).await;
    let second = master(&network, "z", &second_log, MasterOptions { seniority: 9, ..Default::default() }).await;
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(worker.node.view().borrow().leader, Some(node_id("a")));
    second.stop().await;
    first.stop().await;
    let (_, recovered) = EventLog::over(second_log).expect("opens");
    assert_eq!(recovered.state.last_event_applied_idx, EventIndex(0), "it wrote nothing");
}

#[tokio::test(start_paused = true)]
async fn of_two_clusters_that_meet_the_larger_stays() {
    let network = MemoryNetwork::new(7);
    network.partition(&node_id("a"), &node_id("b"));
    let (log_a, log_b) = (MemoryStorage::default(), MemoryStorage::default());
    let master_a = master(&network, "a", &log_a, MasterOptions::default()).await;
    let master_b = master(&network, "b", &log_b, MasterOptions { seniority: 9, ..Default::default() }).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    for (member, leader) in [(&a, "a"), (&b, "b")] {
        let known = |view: &View| view.leader == Some(node_id(leader)) && view.state.downloads.len() == 1;
        member.until("its own master leads", known).await;
    }
    network.heal(&node_id("a"), &node_id("b"));
    for member in [&a, &b] {
        member.until("b leads", |view| view.leader == Some(node_id("b")) && view.is_joined()).await;
    }
    // What a was not seen to be in b's log it tells again; a service compares and reports.
    for event in arrival("a") {
        a.node.facts().report(event);
    }
    let view = b.until("both are in one State", |view| view.state.downloads.len() == 2).await;
    assert_eq!(a.until("the same", |other| other.state == view.state).await.session, view.session);
    master_a.stop().await;
    master_b.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_joiner_behind_a_snapshot_gets_the_same_state() {
    let network = MemoryNetwork::new(8);
    let storage = MemoryStorage::default();
    let master = master(&network, "m", &storage, MasterOptions::default()).await;
    let a = worker(&network, "a").await;
    a.until("a is known", |view| view.state.downloads.len() == 1).await;
    for free in 1..=4200 {
        let resources = NodeResources { ram_total: Memory::mib(8000), ram_available: Memory::mib(free) };
        a.node.facts().report(Event::NodeResourcesChanged { node_id: node_id("a"), resources });
        a.until("told", |view| view.state.free_memory(&node_id("a")) == Memory::mib(free)).await;
    }
    let late = member(&network, "late", Role::Api).await;
    let last = a.node.view().borrow().state.last_event_applied_idx;
    let view = late.until("caught up", |view| view.state.last_event_applied_idx >= last).await;
    assert_eq!(view.state, a.node.view().borrow().state);
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_wish_is_granted_when_a_node_can_grant_it() {
    let network = MemoryNetwork::new(9);
    let options = MasterOptions { wishes: vec![model()], ..Default::default() };
    let storage = MemoryStorage::default();
    let master = master(&network, "m", &storage, options).await;
    let a = worker(&network, "a").await;
    let view = a.until("placed", |view| view.state.instances.len() == 1).await;
    assert_eq!(view.state.instances_of(&model()).count(), 1);
    master.stop().await;
}
