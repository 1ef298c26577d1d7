//! Peers that say what they should not.

use crate::support::*;
use bytes::Bytes;
use exo_log::{EventLog, LogCounters, PeerCallError, PeerTransport};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps what goes over it.
struct Tap {
    inner: Arc<Wire>,
    kept: Arc<Mutex<Vec<Bytes>>>,
}

impl PeerTransport for Tap {
    fn call(
        &self,
        to: &exo_types::NodeId,
        request: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, PeerCallError>> {
        self.kept.lock().expect("nobody panicked").push(request.clone());
        self.inner.call(to, request, within).boxed()
    }
}

/// Two masters, and what the first one sent to the second.
async fn tapped(seed: u64) -> (Cluster, Vec<Bytes>) {
    let mut cluster = Cluster::new(seed);
    let options = cluster.options("a");
    let kept = Arc::new(Mutex::new(Vec::new()));
    let tap = Tap { inner: cluster.network.end_of(&node("a")), kept: kept.clone() };
    let disk = exo_log::FaultyDisk::new(seed);
    cluster.disks.insert(node("a"), disk.clone());
    let place = exo_log::Place::Disk(Arc::new(disk));
    let (log, _) = EventLog::open(place, options, Arc::new(tap)).await.expect("opens");
    cluster.network.plug(&log);
    cluster.logs.insert(node("a"), log.clone());
    log.found(session(1), None).await.expect("founds");
    cluster.add_learner("b").await;
    cluster.promote_all().await;
    cluster.append(1..=5).await.expect("appends");
    cluster.caught_up(5).await;
    let kept = kept.lock().expect("nobody panicked").clone();
    (cluster, kept)
}

/// Sends it all, and looks that nothing but the counters changed.
async fn send(cluster: &Cluster, from: &str, letters: Vec<Bytes>) -> LogCounters {
    let log = cluster.log("b");
    let before = (log.state().borrow().clone(), cluster.standing("b").term);
    for letter in letters {
        let reply = log.on_peer(&node(from), letter).await;
        assert!(reply.starts_with(b"xa"));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((log.state().borrow().clone(), cluster.standing("b").term), before);
    cluster.append(6..=6).await.expect("nobody is disturbed");
    cluster.caught_up(6).await;
    cluster.check_agreement();
    log.counters()
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_claims_to_be_another_is_refused() {
    let (cluster, letters) = tapped(70).await;
    let sent = letters.len() as u64;
    assert!(sent > 5);
    assert_eq!(send(&cluster, "mallory", letters).await.foreign_id, sent);
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_another_version_is_refused() {
    let (cluster, letters) = tapped(71).await;
    let sent = letters.len() as u64;
    let newer = letters.iter().map(|letter| {
        let mut bytes = letter.to_vec();
        bytes[2] += 1;
        Bytes::from(bytes)
    });
    assert_eq!(send(&cluster, "a", newer.collect()).await.other_version, sent);
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_another_session_is_refused() {
    let (_, letters) = tapped(72).await;
    let mut cluster = Cluster::new(73);
    cluster.start("a").await;
    cluster.log("a").found(session(2), None).await.expect("founds");
    cluster.leader().await;
    let sent = letters.len() as u64;
    for letter in letters {
        cluster.log("a").on_peer(&node("b"), letter).await;
    }
    assert_eq!(cluster.log("a").counters().other_session, sent);
    cluster.append(1..=1).await.expect("is not disturbed");
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_changes_nothing_when_it_is_said_again() {
    let (cluster, letters) = tapped(74).await;
    let mut again: Vec<Bytes> = letters.iter().rev().cloned().collect();
    again.extend(letters);
    send(&cluster, "a", again).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_bounded() {
    let (cluster, letters) = tapped(75).await;
    cluster.disks[&node("b")].set_sync_time(Duration::from_millis(50));
    let letter = letters.last().expect("some").clone();
    let name = node("a");
    join_all((0..500).map(|_| cluster.log("b").on_peer(&name, letter.clone()))).await;
    // As many as are answered at a time are; the others are refused at once, and counted.
    assert_eq!(cluster.log("b").counters().busy, 500 - 64);
    cluster.append(6..=6).await.expect("nobody is disturbed");
    cluster.caught_up(6).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_without_a_session_says_so() {
    let (_, letters) = tapped(76).await;
    let mut cluster = Cluster::new(77);
    cluster.start("z").await;
    let sent = letters.len() as u64;
    for letter in letters {
        cluster.log("z").on_peer(&node("a"), letter).await;
    }
    assert_eq!(cluster.log("z").counters().not_ready, sent);
}

#[test]
fn garbage_is_counted_and_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let (cluster, letters) = runtime.block_on(tapped(78));
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) }, |(
        pick in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        rest in prop::collection::vec(any::<u8>(), 0..40),
    )| {
        let mut bytes = pick.get(&letters).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = bytes[at].wrapping_add(value | 1);
        bytes.extend(rest);
        let reply = runtime.block_on(cluster.log("b").on_peer(&node("a"), bytes.into()));
        prop_assert!(reply.starts_with(b"xa"));
    });
    let counters = cluster.log("b").counters();
    assert!(counters.garbage + counters.other_version == 300, "{counters:?}");
    runtime.block_on(async {
        cluster.append(6..=6).await.expect("nobody is disturbed");
        cluster.caught_up(6).await;
    });
}
