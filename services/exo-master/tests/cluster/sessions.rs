//! Sessions that meet, are taken over, and give each other what runs.

use super::harness::*;
use exo_bus::MemoryNetwork;
use exo_master::{MasterError, MasterOptions, MemoryHome};
use exo_node::View;
use exo_types::{Command, InstanceId, KeyFingerprint, SessionId};
use tokio::time::Instant;

fn session(generation: u64, name: &str) -> SessionId {
    SessionId { generation, master_node_id: node_id(name) }
}

fn senior(seniority: u32) -> MasterOptions {
    MasterOptions { seniority, ..MasterOptions::default() }
}

/// Has "m" placed on that worker and ready.
async fn serve(worker: &Member) -> InstanceId {
    let instance_id = instance_of(&worker.send(place(1)).await.expect("answered"));
    let view = worker.until("placed", |view| view.state.instances.contains_key(&instance_id)).await;
    worker.tell_ready(&view, &instance_id);
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
async fn a_master_that_starts_and_finds_a_larger_session_brings_what_it_had_acknowledged() {
    let network = MemoryNetwork::new(15);
    network.partition(&node_id("a"), &node_id("b"));
    let home = MemoryHome::new(1);
    let master_a = master(&network, "a", &home, senior(0)).await;
    let _b = master(&network, "b", &MemoryHome::new(2), senior(9)).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    for (member, leader) in [(&a, "a"), (&b, "b")] {
        let known = |view: &View| view.leader == Some(node_id(leader)) && view.state.downloads.len() == 1;
        member.until("its own master leads", known).await;
    }
    let placed = instance_of(&a.send(place(1)).await.expect("answered"));
    master_a.kill(&network).await;
    network.heal(&node_id("a"), &node_id("b"));
    let _back = master(&network, "a", &home, senior(0)).await;
    until_voters(&network, 2).await;
    let has = |view: &View| view.session == Some(session(1, "b")) && view.state.instances.contains_key(&placed);
    let view = b.until("what a had placed is placed", has).await;
    assert_eq!(view.state.intents.len(), 1);
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
    let second = instance_of(&worker.send(place(1)).await.expect("answered"));
    assert!(is_accepted(&worker.send(delete(placed.clone())).await.expect("answered")));
    // The other one comes back, and belongs to the new session. What it remembers is older.
    let _back = master(&network, leader.as_str(), &home, MasterOptions::default()).await;
    until_voters(&network, 2).await;
    tokio::time::sleep(SECOND * 5).await;
    let view = worker.node.view().borrow().clone();
    assert_eq!(view.session, Some(session(2, survivor.as_str())));
    assert_eq!(view.state.instances.keys().collect::<Vec<_>>(), [&second], "what was deleted does not come back");
    assert_eq!(view.state.intents.len(), 1);
}

/// Each of two voters takes the other for dead and goes on, with the worker of its node.
#[tokio::test(start_paused = true)]
async fn what_two_that_went_on_apart_deleted_is_gone_when_they_meet() {
    for (seed, seniority) in [(11, [0, 9]), (12, [9, 0])] {
        let network = MemoryNetwork::new(seed);
        let names = ["a", "b"];
        let mut running = Vec::new();
        for (name, seniority) in names.into_iter().zip(seniority) {
            running.push(master(&network, name, &MemoryHome::new(seed), senior(seniority)).await);
        }
        until_voters(&network, 2).await;
        let workers = [worker(&network, "a").await, worker(&network, "b").await];
        workers[0].until("both are known", |view| view.state.downloads.len() == 2).await;
        let mut placed = Vec::new();
        for name in ["a", "a", "b", "b"] {
            placed.push(instance_of(&workers[0].send(place_on(name)).await.expect("answered")));
        }
        network.partition(&node_id("a"), &node_id("b"));
        let mut expected = std::collections::BTreeSet::from([placed[1].clone(), placed[3].clone()]);
        for (worker, (name, deleted)) in workers.iter().zip([("a", &placed[0]), ("b", &placed[2])]) {
            let alone = |view: &View| view.session == Some(session(2, name)) && view.leader.is_some();
            worker.until("it goes on alone", alone).await;
            assert!(is_accepted(&worker.send(delete(deleted.clone())).await.expect("answered")));
            expected.insert(instance_of(&worker.send(place_on(name)).await.expect("answered")));
        }
        network.heal(&node_id("a"), &node_id("b"));
        until_voters(&network, 2).await;
        let winner = if seniority[0] > seniority[1] { "a" } else { "b" };
        for worker in &workers {
            let met = |view: &View| view.session == Some(session(2, winner)) && view.is_joined();
            let view = worker.until("they have met", |view| met(view) && view.state.downloads.len() == 2).await;
            assert_eq!(view.state.instances.keys().cloned().collect::<std::collections::BTreeSet<_>>(), expected);
            assert_eq!(view.state.intents.len(), expected.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_by_the_one_that_gives_way_stays_revoked() {
    let network = MemoryNetwork::new(13);
    network.partition(&node_id("a"), &node_id("b"));
    let _a = master(&network, "a", &MemoryHome::new(1), senior(9)).await;
    let _b = master(&network, "b", &MemoryHome::new(2), senior(0)).await;
    let (a, b) = (worker(&network, "a").await, worker(&network, "b").await);
    let key = KeyFingerprint::new("7".repeat(64)).expect("64 digits");
    let admit = || Command::AdmitNode { node_id: node_id("x"), key_fingerprint: key.clone(), token: None };
    for (member, leader) in [(&a, "a"), (&b, "b")] {
        member.until("its own master leads", |view| view.leader == Some(node_id(leader))).await;
        assert!(is_accepted(&member.send(admit()).await.expect("answered")));
    }
    let revoke = Command::RevokeNode { node_id: node_id("x") };
    assert!(is_accepted(&b.send(revoke).await.expect("answered")));
    network.heal(&node_id("a"), &node_id("b"));
    until_voters(&network, 2).await;
    let view = a.until("it is out", |view| !view.state.identity.revoked.is_empty()).await;
    assert!(view.state.identity.admitted.is_empty() && view.session == Some(session(1, "a")));
    assert!(!is_accepted(&a.send(admit()).await.expect("answered")));
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

/// The disk is full for a while, and not what it was when it works again.
#[tokio::test(start_paused = true)]
async fn a_log_that_is_found_damaged_ends_the_master_and_the_next_one_heals_it() {
    let network = MemoryNetwork::new(14);
    let mut three = masters(&network, &["a", "b", "c"], &MasterOptions::default()).await;
    let leader = until_voters(&network, 3).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let at = three.iter().position(|(master, _)| *master.bus.node() != leader).expect("three");
    let (hurt, home) = three.remove(at);
    let name = hurt.bus.node().to_string();
    let disk = home.disk().expect("it has a log");
    disk.set_full(true);
    let placed = instance_of(&worker.send(place(1)).await.expect("the others answer"));
    tokio::time::sleep(SECOND * 3).await;
    assert!((0..400).all(|_| disk.flip_bit()));
    disk.set_full(false);
    let ended = hurt.ended().await;
    assert!(matches!(ended, Err(MasterError::Damaged(_))), "{ended:?}");
    // What a service manager does.
    let _back = master(&network, &name, &home, MasterOptions::default()).await;
    tokio::time::sleep(SECOND * 30).await;
    assert_eq!(disk.quarantined(), 1);
    until_voters(&network, 3).await;
    assert!(worker.node.view().borrow().state.instances.contains_key(&placed));
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
