//! One master: whatever is lost, repeated, swapped or killed, what was acknowledged stays, and everybody ends with the
//! same State.

use super::harness::*;
use bytes::Bytes;
use exo_bus::{Faults, MemoryNetwork};
use exo_identity::Fingerprint;
use exo_log::{EventLog, LogOptions, LogOwner, OpenError, PeerCallError, PeerTransport};
use exo_master::{DirectoryHome, LogHome, MasterError, MasterOptions, MemoryHome, run_over};
use exo_node::{CommandError, Role, View};
use exo_state::{State, apply};
use exo_types::{
    CommandReply, Event, EventIndex, IndexedEvent, Memory, Millis, NodeId, NodeResources, RefusalCode, RunnerStatus,
    SessionId, TaskStatus,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn a_placement_is_accepted_and_comes_to_everybody() {
    let network = MemoryNetwork::new(1);
    let home = MemoryHome::new(7);
    let master = master(&network, "a", &home, MasterOptions::default()).await;
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
    let home = MemoryHome::new(7);
    let first = master(&network, "a", &home, MasterOptions::default()).await;
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
    let second = master(&network, "a", &home, MasterOptions::default()).await;
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
        let home = MemoryHome::new(7);
        let master = master(&network, "m", &home, MasterOptions::default()).await;
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
    let home = MemoryHome::new(7);
    let master = master(&network, "a", &home, MasterOptions::default()).await;
    let worker = worker(&network, "b").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    home.set_full(true);
    let reply = worker.send(place(1)).await.expect("answered");
    assert!(
        matches!(&reply, CommandReply::Refused(refusal) if refusal.code == RefusalCode::LogUnavailable),
        "{reply:?}"
    );
    let resources = NodeResources { ram_total: Memory::mib(4000), ram_available: Memory::mib(1500) };
    worker.node.facts().report(Event::NodeResourcesChanged { node_id: node_id("b"), resources });
    tokio::time::sleep(SECOND * 20).await;
    assert_eq!(worker.node.facts().pending(), 1);
    home.set_full(false);
    worker.until("the fact comes", |view| view.state.free_memory(&node_id("b")) == Memory::mib(1500)).await;
    assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_marked_within_three_seconds_and_its_instance_placed_anew_within_five() {
    let network = MemoryNetwork::new(4);
    let home = MemoryHome::new(7);
    let master = master(&network, "m", &home, MasterOptions::default()).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    a.until("both are known", |view| view.state.downloads.len() == 2).await;
    assert!(is_accepted(&a.send(place(2)).await.expect("answered")));
    let died = tokio::time::Instant::now();
    // The machine is gone without a word: nobody closes its connections.
    network.vanish(b.bus.process());
    drop(b);
    b_is_gone_and_replaced_in_time(&a, died).await;
    master.stop().await;
}

/// Both bounds with half a second to spare.
async fn b_is_gone_and_replaced_in_time(a: &Member, died: tokio::time::Instant) {
    let margin = SECOND / 2;
    a.until("b is gone", |view| !view.state.topology.nodes.contains(&node_id("b"))).await;
    assert!(died.elapsed() <= SECOND * 3 - margin, "{:?}", died.elapsed());
    let moved = |view: &View| {
        let mut instances = view.state.instances.values();
        instances.any(|i| i.ranks().len() == 1 && i.runner_on(&node_id("a")).is_some())
    };
    a.until("placed anew", moved).await;
    assert!(died.elapsed() <= SECOND * 5 - margin, "{:?}", died.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_with_the_leader_on_it_is_marked_and_replaced_as_soon() {
    let network = MemoryNetwork::new(9);
    let options = MasterOptions::default();
    let mut all = masters(&network, &["b", "c", "d"], &options).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    let known = a.until("both are known", |view| view.state.downloads.len() == 2 && view.leader.is_some()).await;
    assert_eq!(known.leader, Some(node_id("b")), "who came first leads");
    assert!(is_accepted(&a.send(place(2)).await.expect("answered")));
    let died = tokio::time::Instant::now();
    let (leader, _home) = all.remove(0);
    network.vanish(leader.bus.process());
    network.vanish(b.bus.process());
    drop(b);
    b_is_gone_and_replaced_in_time(&a, died).await;
    leader.kill(&network).await;
    for (master, _home) in all {
        master.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_back_within_the_grace_is_not_lost() {
    let network = MemoryNetwork::new(5);
    let home = MemoryHome::new(7);
    let master = master(&network, "m", &home, MasterOptions::default()).await;
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

/// A log alone asks nobody.
struct Nobody;

impl PeerTransport for Nobody {
    fn call(&self, _: &NodeId, _: Bytes, _: Duration) -> BoxFuture<'_, Result<Bytes, PeerCallError>> {
        async { Err(PeerCallError::Timeout) }.boxed()
    }
}

/// A log in which so much happened that nothing but the State is left of it.
async fn long_lived(home: &MemoryHome, name: &str, events: u64) -> State {
    let session = SessionId { generation: 3, master_node_id: node_id(name) };
    let mut state = State::default();
    let opened = Event::SessionOpened { session: session.clone(), when: Millis(0) };
    for (idx, event) in (1..).zip(std::iter::once(opened).chain(arrival("a"))) {
        apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
    }
    state.last_event_applied_idx = EventIndex(events);
    let slot = home.begin(Some(&session)).expect("begins");
    let options = LogOptions::new(node_id(name), 5);
    let (log, _) = EventLog::open(home.place(&slot), options, Arc::new(Nobody)).await.expect("opens");
    log.found(session, Some(state.clone())).await.expect("founds");
    log.close().await;
    home.set_current(&slot).expect("keeps it");
    state
}

/// The identity was lost and made anew, the log was not.
#[tokio::test]
async fn a_log_of_another_cluster_is_no_log_of_this_master() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (lost, new) = (Fingerprint::of(b"lost"), Fingerprint::of(b"new"));
    let home = DirectoryHome::new(scratch.path(), lost);
    let slot = home.begin(None).expect("begins");
    let options = LogOptions { cluster: home.cluster(), ..LogOptions::new(node_id("m"), 5) };
    let (log, _) = EventLog::open(home.place(&slot), options, Arc::new(Nobody)).await.expect("opens");
    log.close().await;
    home.set_current(&slot).expect("keeps it");
    let bus = MemoryNetwork::new(3).join(node_id("m")).await.expect("joins");
    let home = Arc::new(DirectoryHome::new(scratch.path(), new));
    let ended = run_over(bus, MasterOptions::default(), home, None, CancellationToken::new()).await;
    let Err(MasterError::Open(OpenError::Foreign { owner, .. })) = ended else { panic!("{ended:?}") };
    assert_eq!(owner, LogOwner::Cluster { theirs: lost.to_string(), ours: new.to_string() });
}

#[tokio::test(start_paused = true)]
async fn who_joins_after_a_million_events_is_current_within_a_second() {
    let network = MemoryNetwork::new(8);
    let home = MemoryHome::new(7);
    let past = long_lived(&home, "m", 1_000_000).await;
    let master = master(&network, "m", &home, MasterOptions::default()).await;
    until_voters(&network, 1).await;
    let joined = tokio::time::Instant::now();
    let late = member(&network, "late", Role::Api).await;
    let view = late.until("current", |view| view.is_joined() && view.state.last_event_applied_idx.0 >= 1_000_000).await;
    assert!(joined.elapsed() < SECOND, "{:?}", joined.elapsed());
    assert_eq!((&view.state.session, &view.state.downloads), (&past.session, &past.downloads));
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_wish_is_granted_when_a_node_can_grant_it() {
    let network = MemoryNetwork::new(9);
    let options = MasterOptions { wishes: vec![model()], ..Default::default() };
    let home = MemoryHome::new(7);
    let master = master(&network, "m", &home, options).await;
    let a = worker(&network, "a").await;
    let view = a.until("placed", |view| view.state.instances.len() == 1).await;
    assert_eq!(view.state.instances_of(&model()).count(), 1);
    master.stop().await;
}
