//! Failures that EXO had in public and that masters can have. The list: docs/failures.md.

use super::harness::*;
use exo_bus::{Faults, MemoryNetwork};
use exo_master::{MasterOptions, MemoryHome};
use exo_types::{Event, Memory, NodeResources, RunnerStatus};
use std::time::Duration;
use tokio::time::Instant;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// exo#2197: masters whose clocks were equal claimed the same, and nobody gave way.
#[tokio::test(start_paused = true)]
async fn issue_2197_masters_with_equal_claims_end_under_one_leader() {
    for seed in 0..6 {
        let network = MemoryNetwork::new(seed);
        let pairs = [(0, 1), (0, 2), (1, 2)].map(|(a, b)| (node_id(NAMES[a]), node_id(NAMES[b])));
        // Each founds a session of its own at the same moment and does nothing in it: generation, seniority and commands
        // are equal.
        pairs.iter().for_each(|(a, b)| network.partition(a, b));
        let mut masters = Vec::new();
        for name in NAMES {
            masters.push(master(&network, name, &MemoryHome::new(seed), MasterOptions::default()).await);
        }
        tokio::time::sleep(SECOND * 10).await;
        pairs.iter().for_each(|(a, b)| network.heal(a, b));
        let met = Instant::now();
        until_voters(&network, 3).await;
        assert!(met.elapsed() < SECOND * 60, "seed {seed}: {:?}", met.elapsed());
        for master in masters {
            master.stop().await;
        }
    }
}

/// exo#1726: full queues dropped messages, and every drop ended in an election that tore everything down.
#[tokio::test(start_paused = true)]
async fn issue_1726_dropped_messages_end_no_session_and_no_runner() {
    for seed in 0..2 {
        let network = MemoryNetwork::new(seed);
        let masters = masters(&network, &NAMES, &MasterOptions::default()).await;
        let worker = worker(&network, "w").await;
        worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
        assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
        let view = worker.until("placed", |view| view.state.instances.len() == 1).await;
        let instance = view.state.instances.values().next().expect("one").clone();
        let runner_id = instance.head().expect("a runner").1.clone();
        let runner_status = RunnerStatus::RunnerReady { incarnation: 1 };
        worker.node.facts().report(Event::RunnerStatusUpdated { runner_id, runner_status });
        let view = worker.until("ready", |view| view.state.ready_instances(&model()).count() == 1).await;
        let session = view.session.clone();
        network.set_faults(Faults {
            delay: Duration::ZERO..=Duration::from_millis(60),
            loss: 0.2,
            duplication: 0.1,
            reorder: true,
        });
        let mut views = worker.node.view();
        let watcher = async {
            loop {
                let view = views.borrow_and_update().clone();
                assert_eq!(view.session, session, "seed {seed}: another session");
                assert!(view.state.instances.contains_key(&instance.instance_id), "seed {seed}: placed anew");
                assert!(view.state.ready_instances(&model()).next().is_some(), "seed {seed}: the runner is lost");
                views.changed().await.expect("the node follows");
            }
        };
        let work = async {
            for free in 1..=20 {
                let resources = NodeResources { ram_total: Memory::mib(4000), ram_available: Memory::mib(900 + free) };
                worker.node.facts().report(Event::NodeResourcesChanged { node_id: node_id("w"), resources });
                tokio::time::sleep(SECOND * 3).await;
            }
        };
        tokio::select! {
            () = watcher => {}
            () = work => {}
        }
        network.set_faults(Faults::default());
        worker.until("all is told", |view| view.state.free_memory(&node_id("w")) == Memory::mib(920)).await;
        for (master, _) in masters {
            master.stop().await;
        }
    }
}

/// exo#1823: after two days with nothing to do the log had 1.8 million events, and nothing worked any more.
#[tokio::test(start_paused = true)]
async fn issue_1823_an_idle_cluster_writes_nothing_into_its_log() {
    const IDLE: Duration = Duration::from_secs(600);
    /// A megabyte a day, for that time.
    const MOST_BYTES: u64 = 1_000_000 / 144;
    let network = MemoryNetwork::new(11);
    let masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
    tokio::time::sleep(SECOND * 30).await;
    let before = worker.node.view().borrow().state.last_event_applied_idx;
    let sizes = || masters.iter().map(|(_, home)| home.disk().expect("a log").len()).collect::<Vec<_>>();
    let sizes_before = sizes();
    tokio::time::sleep(IDLE).await;
    assert_eq!(worker.node.view().borrow().state.last_event_applied_idx, before, "no event");
    for (before, after) in sizes_before.into_iter().zip(sizes()) {
        assert!(after <= before + MOST_BYTES, "the log grew from {before} to {after} bytes in ten idle minutes");
    }
    for (master, _) in masters {
        master.stop().await;
    }
}
