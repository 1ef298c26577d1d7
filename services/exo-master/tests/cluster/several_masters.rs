//! Several masters of one session: the leader may go, and nothing else does.

use super::harness::*;
use exo_bus::{Faults, MemoryNetwork, topics};
use exo_master::{MasterOptions, MemoryHome};
use exo_node::View;
use exo_types::{
    Command, CommandReply, Event, JoinSession, NodeId, RequestLeave, RequestStanding, RunnerStatus, SessionReply,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Takes the leader out of the masters.
fn take_leader<T>(masters: &mut Vec<(Master, T)>, leader: &NodeId) -> (Master, T) {
    let at = masters.iter().position(|(master, _)| master.bus.node() == leader).expect("one of them leads");
    masters.remove(at)
}

#[tokio::test(start_paused = true)]
async fn the_leader_may_be_killed_and_the_next_command_is_acknowledged_at_once() {
    let network = MemoryNetwork::new(1);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let leader = until_voters(&network, 3).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let placed = instance_of(&worker.send(place(1)).await.expect("answered"));
    let (killed, _) = take_leader(&mut masters, &leader);
    killed.kill(&network).await;
    let died = Instant::now();
    let second = worker.send(place(1)).await.expect("answered");
    assert!(died.elapsed() <= Duration::from_millis(300), "{:?}", died.elapsed());
    let kept = |view: &View| view.state.instances.contains_key(&placed) && view.state.instances.len() == 2;
    let view = worker.until("both are there", kept).await;
    assert!(view.state.instances.contains_key(&instance_of(&second)));
    for (master, _) in masters {
        master.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_leader_restarts_no_runner() {
    let network = MemoryNetwork::new(2);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let placed = instance_of(&worker.send(place(1)).await.expect("answered"));
    let view = worker.until("placed", |view| view.state.instances.contains_key(&placed)).await;
    let runner_id = view.state.instances[&placed].head().expect("a runner").1.clone();
    let ready = RunnerStatus::RunnerReady { incarnation: 1 };
    worker.node.facts().report(Event::RunnerStatusUpdated { runner_id: runner_id.clone(), runner_status: ready });
    worker.until("ready", |view| view.state.ready_instances(&model()).count() == 1).await;
    // Whoever watches sees the runner ready all the time, over every change.
    let mut views = worker.node.view();
    let watcher = async {
        loop {
            let state = views.borrow_and_update().state.clone();
            assert_eq!(state.ready_instances(&model()).count(), 1, "the runner stays ready");
            views.changed().await.expect("the node follows");
        }
    };
    let changes = async {
        for left in [3, 2] {
            let leader = until_leader(&worker).await;
            assert_eq!(masters.len(), left);
            let (killed, home) = take_leader(&mut masters, &leader);
            killed.kill(&network).await;
            tokio::time::sleep(SECOND * 5).await;
            let back = master(&network, leader.as_str(), &home, MasterOptions::default()).await;
            masters.push((back, home));
            masters.rotate_right(1);
            tokio::time::sleep(SECOND * 5).await;
            if left == 3 {
                let (stopped, _) = masters.pop().expect("three");
                stopped.stop().await;
                tokio::time::sleep(SECOND * 5).await;
            }
        }
    };
    tokio::select! {
        () = watcher => {}
        () = changes => {}
    }
}

async fn until_leader(member: &Member) -> NodeId {
    member.until("somebody leads", |view| view.leader.is_some()).await.leader.expect("checked")
}

#[tokio::test(start_paused = true)]
async fn a_repeated_command_gets_the_first_answer_from_the_next_leader() {
    let network = MemoryNetwork::new(3);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let leader = until_leader(&worker).await;
    let request = exo_types::ForwarderCommand {
        origin: node_id("w"),
        command_id: exo_types::CommandId::new("once").expect("a good id"),
        command: place(1),
    };
    let ask =
        async |of: &NodeId| worker.bus.request(topics::COMMAND, of, &request, SECOND * 5).await.expect("answered");
    let first = ask(&leader).await;
    take_leader(&mut masters, &leader).0.kill(&network).await;
    let next = worker.until("another leads", |view| view.leader.as_ref().is_some_and(|other| *other != leader)).await;
    assert_eq!(ask(&next.leader.expect("checked")).await, first);
    let view = worker.until("placed", |view| !view.state.instances.is_empty()).await;
    assert_eq!(view.state.instances.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_master_that_does_not_lead_names_the_one_that_does() {
    let network = MemoryNetwork::new(4);
    let masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let worker = worker(&network, "w").await;
    let leader = until_leader(&worker).await;
    let other = masters.iter().map(|(master, _)| master.bus.node()).find(|node| **node != leader).expect("three");
    let request = exo_types::ForwarderCommand {
        origin: node_id("w"),
        command_id: exo_types::CommandId::new("c").expect("a good id"),
        command: place(1),
    };
    let answer = worker.bus.request(topics::COMMAND, other, &request, SECOND * 5).await.expect("answered");
    assert!(
        matches!(&answer, CommandReply::Refused(refusal) if refusal.leader.as_ref() == Some(&leader)),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_minority_of_three_accepts_nothing_and_nothing_is_lost_when_it_is_over() {
    let network = MemoryNetwork::new(5);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let placed = instance_of(&worker.send(place(1)).await.expect("answered"));
    let (one, _one_home) = masters.remove(0);
    let (two, two_home) = masters.remove(0);
    let name = two.bus.node().clone();
    one.kill(&network).await;
    two.kill(&network).await;
    // Far longer than a takeover.
    tokio::time::sleep(SECOND * 300).await;
    let reply = worker.node.commands().send(delete(placed.clone()), SECOND * 10).await;
    assert!(!matches!(reply, Ok(CommandReply::Accepted { .. })), "{reply:?}");
    assert!(worker.node.view().borrow().state.instances.contains_key(&placed), "what was placed serves on");
    let _back = master(&network, name.as_str(), &two_home, MasterOptions::default()).await;
    let again = worker.send(delete(placed.clone())).await.expect("answered");
    assert!(is_accepted(&again), "{again:?}");
    worker.until("deleted", |view| !view.state.instances.contains_key(&placed)).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_changes_no_membership_and_a_dead_voter_is_replaced() {
    let network = MemoryNetwork::new(6);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let leader = until_voters(&network, 3).await;
    let home = MemoryHome::new(9);
    let fourth = master(&network, "d", &home, MasterOptions::default()).await;
    tokio::time::sleep(SECOND * 20).await;
    assert_eq!(voters(&network).await, ["a", "b", "c"], "the fourth stands by");
    let at = masters.iter().position(|(master, _)| *master.bus.node() != leader).expect("three");
    let (other, other_home) = masters.remove(at);
    let name = other.bus.node().to_string();
    other.kill(&network).await;
    tokio::time::sleep(SECOND * 5).await;
    let back = master(&network, &name, &other_home, MasterOptions::default()).await;
    tokio::time::sleep(SECOND * 20).await;
    assert_eq!(voters(&network).await, ["a", "b", "c"], "it was away for a moment");
    back.kill(&network).await;
    tokio::time::sleep(SECOND * 20).await;
    let now = voters(&network).await;
    assert!(now.contains(&"d".to_owned()) && !now.contains(&name), "{now:?}");
    fourth.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_it_is_struck_off_is_told_that_it_is_in_when_it_stays_in() {
    let network = MemoryNetwork::new(14);
    let asked = Arc::new(Mutex::new(BTreeMap::new()));
    let asking = asked.clone();
    network.on_sent(move |sent| {
        if sent.key.starts_with("service/join_session/")
            && let Some(join) = sent.read::<JoinSession>()
        {
            asking.lock().expect("whole").insert(join.member.node_id.clone(), join);
        }
    });
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let leader = until_voters(&network, 3).await;
    let _fourth = master(&network, "d", &MemoryHome::new(9), MasterOptions::default()).await;
    tokio::time::sleep(SECOND * 20).await;
    // A change of the members takes several of these.
    network.set_faults(Faults { delay: Duration::from_millis(5)..=Duration::from_millis(5), ..Faults::default() });
    let joined = asked.lock().expect("whole").clone();
    let is_other = |(master, _): &(Master, _)| *master.bus.node() != leader && joined.contains_key(master.bus.node());
    let at = masters.iter().position(is_other).expect("one of them joined another");
    let (away, _) = masters.remove(at);
    let name = away.bus.node().clone();
    away.kill(&network).await;
    let bus = network.join(name.clone()).await.expect("joins");
    // Those before and those after vote while they change.
    until_voters(&network, 4).await;
    let again = JoinSession { brings: None, ..joined[&name].clone() };
    let answer = bus.request(topics::JOIN_SESSION, &leader, &again, SECOND * 20).await.expect("answered");
    assert_eq!(answer, SessionReply::Done);
    tokio::time::sleep(SECOND).await;
    let standing = bus.request(topics::STANDING, &leader, &RequestStanding {}, SECOND).await.expect("answered");
    assert!(standing.learners.contains(&name) && !standing.voters.contains(&name), "{standing:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_leaves_half_done_when_the_members_change_the_next_one_ends() {
    let network = MemoryNetwork::new(15);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let leader = until_voters(&network, 3).await;
    let _fourth = master(&network, "d", &MemoryHome::new(9), MasterOptions::default()).await;
    tokio::time::sleep(SECOND * 20).await;
    network.set_faults(Faults { delay: Duration::from_millis(5)..=Duration::from_millis(5), ..Faults::default() });
    let (dies, home) =
        masters.remove(masters.iter().position(|(master, _)| *master.bus.node() == leader).expect("three"));
    let leaving = masters[0].0.bus.node().clone();
    let bus = network.join(node_id("cli")).await.expect("joins");
    let asked = bus.request(topics::LEAVE_CLUSTER, &leaving, &RequestLeave {}, SECOND * 60);
    let half_done = async {
        until_voters(&network, 4).await;
        dies.kill(&network).await;
    };
    let (asked, ()) = tokio::join!(asked, half_done);
    assert_eq!(asked.expect("answered"), SessionReply::Done);
    let _back = master(&network, leader.as_str(), &home, MasterOptions::default()).await;
    tokio::time::sleep(SECOND * 20).await;
    let now = voters(&network).await;
    assert!(now.len() == 3 && !now.contains(&leaving.to_string()), "{now:?}");
}

/// Who votes, as the leader says.
async fn voters(network: &MemoryNetwork) -> Vec<String> {
    let bus = network.join(node_id("watcher")).await.expect("joins");
    let mut watch = bus.watch(topics::MASTER).await.expect("watches");
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let exo_bus::PresenceChange::Joined { payload, .. } = watch.recv().await.expect("the bus is open")
                && payload.leading
            {
                return payload.voters.iter().map(ToString::to_string).collect();
            }
        }
    });
    found.await.expect("somebody leads")
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_taken_out_before_it_ends() {
    let network = MemoryNetwork::new(7);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    for left in [2, 1] {
        // The leader itself: it hands over first.
        let leader = until_voters(&network, left + 1).await;
        let (leaving, _) = take_leader(&mut masters, &leader);
        let bus = network.join(node_id("cli")).await.expect("joins");
        let asked = bus.request(topics::LEAVE_CLUSTER, &leader, &RequestLeave {}, SECOND * 20).await;
        assert_eq!(asked.expect("answered"), SessionReply::Done);
        leaving.stop().await;
        until_voters(&network, left).await;
    }
    let worker = worker(&network, "w").await;
    worker.until("one is enough", |view| view.state.downloads.len() == 1).await;
    assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
}

#[tokio::test(start_paused = true)]
async fn who_is_stopped_and_is_to_leave_then_is_taken_out_before_it_ends() {
    let network = MemoryNetwork::new(13);
    let options = MasterOptions { leave_on_stop: true, ..MasterOptions::default() };
    let mut masters = masters(&network, &NAMES, &options).await;
    let worker = worker(&network, "w").await;
    let leader = worker.until("the worker is known", |view| view.state.downloads.len() == 1).await.leader;
    // Who does not lead first, then the leader itself: it hands over.
    let at = masters.iter().position(|(master, _)| Some(master.bus.node()) != leader.as_ref()).expect("three");
    let (other, _) = masters.remove(at);
    let (leading, _) = take_leader(&mut masters, &leader.expect("somebody leads"));
    for (left, leaving) in [(2, other), (1, leading)] {
        leaving.stop().await;
        // It ended when it was out: nobody needs its vote any more.
        assert!(is_accepted(&worker.send(place(1)).await.expect("answered")));
        assert_eq!(voters(&network).await.len(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn the_leader_and_another_that_leave_at_the_same_time_let_each_other_go() {
    let options = MasterOptions { leave_on_stop: true, ..MasterOptions::default() };
    for other in [0, 1] {
        let network = MemoryNetwork::new(16);
        let mut masters = masters(&network, &NAMES, &options).await;
        let leader = until_voters(&network, 3).await;
        let (leading, _) = take_leader(&mut masters, &leader);
        let (other, _) = masters.remove(other);
        let begin = Instant::now();
        tokio::join!(leading.stop(), other.stop());
        assert!(begin.elapsed() < SECOND * 5, "{:?}", begin.elapsed());
        assert_eq!(voters(&network).await.len(), 1);
    }
}

/// Every machine loses its power: all masters, and the worker with its runners.
#[tokio::test(start_paused = true)]
async fn what_was_placed_is_placed_and_ready_again_after_everything_restarts() {
    let network = MemoryNetwork::new(8);
    let masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let first = worker(&network, "w").await;
    first.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let placed = instance_of(&first.send(place(1)).await.expect("answered"));
    let view = first.until("placed", |view| view.state.instances.contains_key(&placed)).await;
    first.tell_ready(&view, &placed);
    first.until("ready", |view| view.state.ready_instances(&model()).count() == 1).await;
    let mut homes = Vec::new();
    for (killed, home) in masters {
        homes.push((killed.bus.node().to_string(), home));
        killed.kill(&network).await;
    }
    network.kill(first.bus.process());
    drop(first);
    tokio::time::sleep(SECOND * 60).await;
    let mut back = Vec::new();
    for (name, home) in &homes {
        back.push(master(&network, name, home, MasterOptions::default()).await);
    }
    // Its machine takes longer: the masters do not wait for it.
    let api = member(&network, "api", exo_node::Role::Api).await;
    let view = api.until("it is lost", |view| view.is_joined() && view.state.topology.nodes.is_empty()).await;
    assert_eq!((view.state.intents.len(), view.state.ready_instances(&model()).count()), (1, 0));
    tokio::time::sleep(SECOND * 10).await;
    let again = worker(&network, "w").await;
    let here = |view: &View| {
        let mut instances = view.state.instances.values();
        !view.state.downloads.is_empty() && instances.any(|instance| instance.runner_on(&node_id("w")).is_some())
    };
    let view = again.until("placed again", here).await;
    assert_eq!((view.state.instances.len(), view.state.intents.len()), (1, 1));
    let instance_id = view.state.instances.keys().next().expect("one").clone();
    again.tell_ready(&view, &instance_id);
    api.until("ready again", |view| view.state.ready_instances(&model()).count() == 1).await;
    for master in back {
        master.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_gets_what_it_missed_while_nobody_leads() {
    let network = MemoryNetwork::new(9);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let worker = worker(&network, "w").await;
    let late = member(&network, "late", exo_node::Role::Api).await;
    let view = worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    late.until("the worker is known there too", |view| view.state.downloads.len() == 1).await;
    NAMES.iter().for_each(|name| network.partition(&node_id("late"), &node_id(name)));
    let placed = instance_of(&worker.send(place(1)).await.expect("answered"));
    let known = worker.until("placed", |view| view.state.instances.contains_key(&placed)).await;
    // The other masters are told in a moment that it is committed.
    tokio::time::sleep(SECOND / 10).await;
    take_leader(&mut masters, &view.leader.expect("somebody leads")).0.kill(&network).await;
    masters.pop().expect("two are left").0.kill(&network).await;
    tokio::time::sleep(SECOND * 10).await;
    assert!(late.node.view().borrow().state.instances.is_empty(), "it was cut off");
    network.heal_all();
    let view = late.until("it is current", |view| view.state.instances.contains_key(&placed)).await;
    assert_eq!((view.leader, view.state.last_event_applied_idx), (None, known.state.last_event_applied_idx));
    assert_eq!(view.state, worker.node.view().borrow().state, "from the one master that is left");
    drop(masters);
}

#[tokio::test(start_paused = true)]
async fn a_removed_node_votes_no_more() {
    let network = MemoryNetwork::new(11);
    let mut masters = masters(&network, &NAMES, &MasterOptions::default()).await;
    let leader = until_voters(&network, 3).await;
    let worker = worker(&network, "w").await;
    worker.until("the worker is known", |view| view.state.downloads.len() == 1).await;
    let at = masters.iter().position(|(master, _)| *master.bus.node() != leader).expect("three");
    let (dead, _) = masters.remove(at);
    let node_id = dead.bus.node().clone();
    let early = worker.send(Command::RemoveNode { node_id: node_id.clone() }).await.expect("answered");
    assert!(!is_accepted(&early), "while it runs it would only come back: {early:?}");
    dead.kill(&network).await;
    let removed = worker.send(Command::RemoveNode { node_id: node_id.clone() }).await.expect("answered");
    assert!(is_accepted(&removed), "{removed:?}");
    until_voters(&network, 2).await;
    assert!(!voters(&network).await.contains(&node_id.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_is_emptied() {
    let network = MemoryNetwork::new(12);
    let _masters = masters(&network, &["a"], &MasterOptions::default()).await;
    let (one, two) = (worker(&network, "w1").await, worker(&network, "w2").await);
    one.until("both are known", |view| view.state.downloads.len() == 2).await;
    let placed = instance_of(&one.send(place(1)).await.expect("answered"));
    let view = two.until("placed", |view| view.state.instances.contains_key(&placed)).await;
    let from = view.state.instances[&placed].head().expect("a runner").0.clone();
    let drain = Command::DrainNode { node_id: from.clone(), drained: true };
    assert!(is_accepted(&one.send(drain).await.expect("answered")));
    let moved = |view: &View| {
        let mut instances = view.state.instances.values();
        view.state.instances.len() == 1 && instances.all(|instance| instance.runner_on(&from).is_none())
    };
    let view = two.until("it is on the other one", moved).await;
    assert_eq!(view.state.intents.len(), 1);
}
