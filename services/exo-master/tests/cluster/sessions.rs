//! Sessions that meet, are taken over, and give each other what runs.

use super::harness::*;
use exo_bus::MemoryNetwork;
use exo_master::{MasterOptions, MemoryHome};
use exo_node::View;
use exo_types::{CommandReply, Event, InstanceId, RunnerStatus, SessionId};
use tokio::time::Instant;

fn session(generation: u64, name: &str) -> SessionId {
    SessionId { generation, master_node_id: node_id(name) }
}

fn senior(seniority: u32) -> MasterOptions {
    MasterOptions { seniority, ..MasterOptions::default() }
}

/// Has "m" placed on that worker and ready.
async fn serve(worker: &Member) -> InstanceId {
    let reply = worker.send(place(1)).await.expect("answered");
    let CommandReply::Accepted { instance_id: Some(instance_id), .. } = reply else { panic!("{reply:?}") };
    let view = worker.until("placed", |view| view.state.instances.contains_key(&instance_id)).await;
    let runner_id = view.state.instances[&instance_id].head().expect("a runner").1.clone();
    let runner_status = RunnerStatus::RunnerReady { incarnation: 1 };
    worker.node.facts().report(Event::RunnerStatusUpdated { runner_id, runner_status });
    worker.until("ready", |view| view.state.instances.values().all(|instance| view.state.is_ready(instance))).await;
    instance_id
}

#[tokio::test(start_paused = true)]
async fn of_two_clusters_that_meet_the_larger_stays_and_runs_what_both_ran() {
    let network = MemoryNetwork::new(7);
    network.partition(&node_id("a"), &node_id("b"));
    let (home_a, home_b) = (MemoryHome::new(1), MemoryHome::new(2));
    let master_a = master(&network, "a", &home_a, senior(0)).await;
    let master_b = master(&network, "b", &home_b, senior(9)).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    for (member, leader) in [(&a, "a"), (&b, "b")] {
        let known = |view: &View| view.leader == Some(node_id(leader)) && view.state.downloads.len() == 1;
        member.until("its own master leads", known).await;
    }
    let (of_a, of_b) = (serve(&a).await, serve(&b).await);
    network.heal(&node_id("a"), &node_id("b"));
    // A worker never sees a State without what runs on it.
    let mut views = a.node.view();
    let watch = async {
        loop {
            let state = views.borrow_and_update().state.clone();
            assert!(state.instances.get(&of_a).is_some_and(|instance| state.is_ready(instance)), "no runner restarts");
            views.changed().await.expect("the node follows");
        }
    };
    let met = async {
        for member in [&a, &b] {
            let both = |view: &View| {
                let has = |id| view.state.instances.contains_key(id);
                view.session == Some(session(1, "b")) && view.is_joined() && has(&of_a) && has(&of_b)
            };
            member.until("b leads, and both models are placed", both).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = met => {}
    }
    until_voters(&network, 2).await;
    let view = b.until("both nodes", |view| view.state.topology.nodes.len() == 2).await;
    assert_eq!(view.state.intents.len(), 2);
    master_a.stop().await;
    master_b.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_survivor_of_two_goes_on_from_what_was_acknowledged() {
    let network = MemoryNetwork::new(8);
    let mut two = masters(&network, &["a", "b"], &MasterOptions::default()).await;
    let leader = until_voters(&network, 2).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let placed = serve(&worker).await;
    let at = two.iter().position(|(master, _)| *master.bus.node() == leader).expect("one of the two");
    let (killed, home) = two.remove(at);
    killed.kill(&network).await;
    let died = Instant::now();
    let survivor = two[0].0.bus.node().clone();
    let taken = |view: &View| view.session == Some(session(2, survivor.as_str())) && view.is_joined();
    let view = worker.until("the survivor takes over", taken).await;
    assert!((SECOND * 30..SECOND * 33).contains(&died.elapsed()), "{:?}", died.elapsed());
    assert!(view.state.instances.get(&placed).is_some_and(|instance| view.state.is_ready(instance)));
    assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
    // The other one comes back, and belongs to the new session.
    let _back = master(&network, leader.as_str(), &home, MasterOptions::default()).await;
    until_voters(&network, 2).await;
    let view = worker.node.view().borrow().clone();
    assert_eq!((view.session, view.state.instances.len()), (Some(session(2, survivor.as_str())), 2));
}

#[tokio::test(start_paused = true)]
async fn a_survivor_that_must_not_take_over_waits() {
    let network = MemoryNetwork::new(9);
    let options = MasterOptions { take_over_after: None, ..MasterOptions::default() };
    let mut two = masters(&network, &["a", "b"], &options).await;
    let leader = until_voters(&network, 2).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let at = two.iter().position(|(master, _)| *master.bus.node() == leader).expect("one of the two");
    let (killed, home) = two.remove(at);
    killed.kill(&network).await;
    tokio::time::sleep(SECOND * 300).await;
    assert_eq!(worker.node.view().borrow().leader, None);
    let _back = master(&network, leader.as_str(), &home, options).await;
    assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
    assert_eq!(worker.node.view().borrow().session.as_ref().map(|session| session.generation), Some(1));
}

#[tokio::test(start_paused = true)]
async fn masters_that_start_together_end_in_one_session() {
    for seed in 0..8 {
        let network = MemoryNetwork::new(seed);
        let mut running = Vec::new();
        for name in ["a", "b", "c"] {
            running.push(master(&network, name, &MemoryHome::new(seed), MasterOptions::default()).await);
        }
        until_voters(&network, 3).await;
        for master in running {
            master.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_log_is_healed_by_the_others() {
    let network = MemoryNetwork::new(10);
    let mut three = masters(&network, &["a", "b", "c"], &MasterOptions::default()).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let placed = serve(&worker).await;
    let (killed, home) = three.pop().expect("three");
    let name = killed.bus.node().to_string();
    killed.kill(&network).await;
    let disk = home.disk().expect("it has a log");
    // As many as it takes, and more.
    assert!((0..400).all(|_| disk.flip_bit()));
    let _back = master(&network, &name, &home, MasterOptions::default()).await;
    tokio::time::sleep(SECOND * 30).await;
    assert_eq!(disk.quarantined(), 1, "the log was put away, once");
    assert!(until_voters(&network, 3).await != node_id(&name), "it is a voter again, and does not lead");
    assert!(worker.node.view().borrow().state.instances.contains_key(&placed));
    let healed = home.disk().expect("it has a log");
    assert_eq!(healed.quarantined(), 0, "what came from the others is in a log of its own");
}
