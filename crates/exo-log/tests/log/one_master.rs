//! A master on its own.

use crate::support::*;
use exo_log::{AppendError, Appended, EventLog, FoundError, LogRole, OpenError, Place, ReadError};
use exo_state::State;
use exo_types::EventIndex;
use futures::future::join_all;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_after_a_power_cut() {
    let mut cluster = Cluster::of_one(1).await;
    let appended = cluster.append(1..=3).await.expect("appends");
    assert_eq!(appended, Appended { first: EventIndex(1), last: EventIndex(3) });
    cluster.append(4..=4).await.expect("appends");
    let state = cluster.log("a").state().borrow().clone();
    let raft_id = cluster.log("a").member().raft_id;
    cluster.kill("a");
    let recovered = cluster.start("a").await;
    assert_eq!((recovered.state, recovered.raft_id, recovered.session), (state.clone(), raft_id, Some(session(1))));
    assert_eq!(recovered.members.voters.len(), 1);
    cluster.leader().await;
    assert_eq!(*cluster.log("a").state().borrow(), state);
    assert_eq!(numbers(cluster.log("a")).await, [1, 2, 3, 4]);
    cluster.append(5..=5).await.expect("goes on");
    assert_eq!(numbers(cluster.log("a")).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn events_decided_on_another_state_are_void_and_leave_nothing() {
    let cluster = Cluster::of_one(2).await;
    let log = cluster.log("a");
    log.append(EventIndex(0), events(1..=2)).await.expect("appends");
    for base in [0, 1, 3, 99] {
        let error = log.append(EventIndex(base), events(7..=9)).await.expect_err("void");
        assert_eq!(error, AppendError::NotNext { expected: EventIndex(2) });
    }
    log.append(EventIndex(2), events(3..=3)).await.expect("appends");
    assert_eq!(numbers(log).await, [1, 2, 3]);
    assert_eq!(log.counters().void_appends, 4);
}

#[tokio::test(start_paused = true)]
async fn of_many_decided_on_one_state_one_is_applied() {
    let cluster = Cluster::of_one(3).await;
    let log = cluster.log("a");
    let outcomes = join_all((1..=50).map(|number| log.append(EventIndex(0), events(number..=number)))).await;
    let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!((winners, numbers(log).await.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn many_writers_share_the_rounds_of_the_disk() {
    let cluster = Cluster::of_one(4).await;
    let log = cluster.log("a");
    let before = log.counters().groups;
    let outcomes = join_all((1..=64).map(|number| log.record(events(number..=number)))).await;
    let mut indices: Vec<u64> = outcomes.into_iter().map(|outcome| outcome.expect("appends").first.0).collect();
    indices.sort_unstable();
    assert_eq!(indices, (1..=64).collect::<Vec<_>>());
    assert!(log.counters().groups - before <= 8, "{} groups", log.counters().groups - before);
}

#[tokio::test(start_paused = true)]
async fn snapshots_bound_the_disk_and_the_log_goes_on_from_them() {
    let mut cluster = Cluster::new(5);
    cluster.snapshot_every = 200;
    cluster.start("a").await;
    cluster.log("a").found(session(1), None).await.expect("founds");
    let mut length = 0;
    for round in 0..60 {
        cluster.append(round * 50 + 1..=round * 50 + 50).await.expect("appends");
        if round == 20 {
            length = cluster.disks[&node("a")].len();
        }
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(cluster.log("a").counters().snapshots >= 10);
    assert!(cluster.disks[&node("a")].len() <= length * 2, "{} after {length}", cluster.disks[&node("a")].len());
    let state = cluster.log("a").state().borrow().clone();
    cluster.kill("a");
    let recovered = cluster.start("a").await;
    assert_eq!(recovered.state, state);
    assert!(recovered.replayed <= 30, "{} records replayed", recovered.replayed);
    cluster.leader().await;
    let page = cluster.log("a").read(EventIndex(2900), 1000).await.expect("kept over the restart");
    assert_eq!((page.events.len(), page.last), (101, EventIndex(3000)));
    let purged = cluster.log("a").read(EventIndex(1), 10).await;
    assert!(matches!(purged, Err(ReadError::Purged { first }) if first > EventIndex(1)), "{purged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_from_the_state_that_it_is_given() {
    let mut cluster = Cluster::new(6);
    cluster.start("a").await;
    let seed = State { last_event_applied_idx: EventIndex(70), commands_seen: 9, ..State::default() };
    cluster.log("a").found(session(2), Some(seed.clone())).await.expect("founds");
    cluster.leader().await;
    assert_eq!(**cluster.log("a").state().borrow(), seed);
    let appended = cluster.append(1..=1).await.expect("appends");
    assert_eq!(appended.first, EventIndex(71));
    cluster.kill("a");
    let recovered = cluster.start("a").await;
    assert_eq!((recovered.state.commands_seen, recovered.state.last_event_applied_idx), (9, EventIndex(71)));
}

#[tokio::test(start_paused = true)]
async fn a_place_takes_one_session() {
    let cluster = Cluster::of_one(7).await;
    let log = cluster.log("a");
    let taken = Err(FoundError::NotEmpty { session: session(1) });
    assert_eq!(log.found(session(2), None).await, taken);
    assert_eq!(log.join(session(2)).await, taken);
    assert_eq!(log.join(session(1)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn of_many_who_found_a_session_at_once_one_does() {
    let mut cluster = Cluster::new(11);
    cluster.start("a").await;
    let log = cluster.log("a");
    let outcomes = join_all((1..=5).map(|generation| log.found(session(generation), None))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    cluster.append(1..=1).await.expect("appends");
}

#[tokio::test(start_paused = true)]
async fn an_empty_place_and_a_closed_log_take_nothing() {
    let mut cluster = Cluster::new(8);
    cluster.start("a").await;
    let log = cluster.log("a").clone();
    assert!(matches!(log.record(events(1..=1)).await, Err(AppendError::NotLeader { leader: None })));
    log.clone().close().await;
    assert_eq!(log.record(events(1..=1)).await, Err(AppendError::Closed));
    assert_eq!(log.read(EventIndex(1), 1).await, Err(ReadError::Closed));
    assert_eq!(log.found(session(1), None).await, Err(FoundError::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_told_and_the_next_one_is_taken() {
    let cluster = Cluster::of_one(9).await;
    let log = cluster.log("a");
    let error = log.record(events(1..=100_000)).await.expect_err("too large");
    assert!(matches!(error, AppendError::TooLarge { .. }), "{error}");
    log.record(events(1..=1)).await.expect("appends");
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_every_event_once_and_in_order() {
    let cluster = Cluster::of_one(10).await;
    let log = cluster.log("a");
    let mut subscription = log.events();
    let mut states = log.state();
    for number in 1..=20 {
        log.record(events(number..=number)).await.expect("appends");
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        match within(subscription.next()).await.expect("open") {
            exo_log::Feed::Events(events) => seen.extend(events.iter().map(|event| event.idx.0)),
            exo_log::Feed::Jumped { to } => panic!("jumped to {to}"),
        }
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    assert_eq!(states.borrow_and_update().last_event_applied_idx, EventIndex(20));
}

#[tokio::test]
async fn a_directory_keeps_a_log_for_one_process_of_one_node() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = || Place::Directory(scratch.path().join("1-m"));
    let network = Network::default();
    let options = |name: &str| exo_log::LogOptions::new(node(name), 5);
    let open = |name: &'static str| EventLog::open(place(), options(name), network.end_of(&node(name)));
    let (log, recovered) = open("a").await.expect("opens");
    assert_eq!(recovered.session, None);
    log.found(session(1), None).await.expect("founds");
    role(&log, LogRole::Leader).await;
    let appends = (1..=100).map(|number| log.record(events(number..=number)));
    for outcome in join_all(appends).await {
        outcome.expect("appends");
    }
    let in_use = open("a").await.expect_err("in use");
    assert!(matches!(in_use, OpenError::InUse { .. }), "{in_use}");
    let state: Arc<State> = log.state().borrow().clone();
    log.close().await;
    let foreign = open("b").await.expect_err("another node's");
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
    let (log, recovered) = open("a").await.expect("opens again");
    assert_eq!(recovered.state, state);
    role(&log, LogRole::Leader).await;
    log.close().await;
}
