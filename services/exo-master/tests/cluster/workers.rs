//! Workers of a master that starts anew: those that come back keep what they run, those that do not lose it soon.

use super::harness::*;
use exo_bus::MemoryNetwork;
use exo_master::{MasterOptions, MemoryHome};
use exo_node::Role;
use std::time::Duration;

/// How a worker comes back to a master that starts anew: it dials again after a pause.
#[tokio::test(start_paused = true)]
async fn a_worker_that_is_back_soon_after_its_master_keeps_what_runs_there() {
    for away in [1200, 2000, 4200].map(Duration::from_millis) {
        let network = MemoryNetwork::new(9);
        let home = MemoryHome::new(7);
        let first = master(&network, "a", &home, MasterOptions::default()).await;
        let (near, far) = (worker(&network, "near").await, worker(&network, "far").await);
        near.until("both are known", |view| view.state.downloads.len() == 2).await;
        let placed = instance_of(&near.send(place(1)).await.expect("answered"));
        let view = near.until("placed", |view| view.state.instances.contains_key(&placed)).await;
        let (on, other) = if view.state.instances[&placed].runner_on(&node_id("far")).is_some() {
            (&far, &near)
        } else {
            (&near, &far)
        };
        on.tell_ready(&view, &placed);
        other.until("ready", |view| view.state.ready_instances(&model()).count() == 1).await;
        first.kill(&network).await;
        network.partition(&node_id("a"), on.node.node_id());
        tokio::time::sleep(SECOND).await;
        let second = master(&network, "a", &home, MasterOptions::default()).await;
        let mut views = other.node.view();
        let stays = async {
            loop {
                let state = views.borrow_and_update().state.clone();
                assert!(state.instances.contains_key(&placed), "{away:?}: it was moved");
                views.changed().await.expect("the node follows");
            }
        };
        let back = async {
            // Counted from when the master leads.
            other.until("the master leads", |view| view.leader.is_some() && view.is_joined()).await;
            tokio::time::sleep(away).await;
            network.heal(&node_id("a"), on.node.node_id());
            on.until("it is back", |view| view.leader.is_some() && view.is_joined()).await;
            for event in arrival(on.node.node_id().as_str()) {
                on.node.facts().report(event);
            }
            on.tell_ready(&view, &placed);
            tokio::time::sleep(SECOND * 10).await;
            other.until("ready", |view| view.state.ready_instances(&model()).count() == 1).await;
        };
        tokio::select! {
            () = stays => {}
            () = back => {}
        }
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_come_back_is_lost_in_three_seconds_and_what_it_held_is_placed_in_five() {
    let network = MemoryNetwork::new(10);
    let home = MemoryHome::new(7);
    let first = master(&network, "a", &home, MasterOptions::default()).await;
    let gone = worker(&network, "b").await;
    gone.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let placed = instance_of(&gone.send(place(1)).await.expect("answered"));
    let api = member(&network, "c", Role::Api).await;
    api.until("placed", |view| view.state.instances.contains_key(&placed)).await;
    let spare = worker(&network, "d").await;
    spare.until("both are known", |view| view.state.downloads.len() == 2).await;
    first.kill(&network).await;
    network.kill(gone.bus.process());
    let second = master(&network, "a", &home, MasterOptions::default()).await;
    api.until("the master leads", |view| view.leader.is_some() && view.is_joined()).await;
    let leads = tokio::time::Instant::now();
    api.until("lost", |view| !view.state.topology.nodes.contains(&node_id("b"))).await;
    assert!(leads.elapsed() <= SECOND * 3, "{:?}", leads.elapsed());
    api.until("placed anew", |view| {
        let mut instances = view.state.instances.values();
        instances.any(|instance| instance.runner_on(&node_id("d")).is_some())
    })
    .await;
    assert!(leads.elapsed() <= SECOND * 5, "{:?}", leads.elapsed());
    second.stop().await;
}
