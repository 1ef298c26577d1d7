//! Disks that lose, tear and turn bits.

use crate::support::*;
use exo_log::{EventLog, FaultyDisk, LogOptions, LogRole, OpenError, Place, Recovered};
use exo_types::NodeId;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

async fn open(disk: &FaultyDisk, entropy: u64) -> Result<(EventLog, Recovered), OpenError> {
    let wire = Network::default().end_of(&node("a"));
    let options = LogOptions { snapshot_every: 15, ..LogOptions::new(node("a"), entropy) };
    EventLog::open(Place::Disk(Arc::new(disk.clone())), options, wire).await
}

/// Appends one event after the other until the disk fails; how many were acknowledged.
async fn append_until_failure(log: &EventLog, from: u64, most: u64) -> u64 {
    for number in from..from + most {
        let appended = tokio::time::timeout(Duration::from_millis(200), log.record(events(number..=number))).await;
        if !matches!(appended, Ok(Ok(_))) {
            return number - 1;
        }
    }
    from + most - 1
}

fn count(state: &exo_state::State) -> u64 {
    state.last_event_applied_idx.0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The power goes at every possible call of a commit, again and again.
    #[test]
    fn a_power_cut_loses_nothing_acknowledged_and_leaves_nothing_torn(seed in any::<u64>(), cut in 0..40_u64) {
        paused(async {
            let disk = FaultyDisk::new(seed);
            let (log, _) = open(&disk, seed).await.expect("opens");
            log.found(session(1), None).await.expect("founds");
            role(&log, LogRole::Leader).await;
            let mut acknowledged = append_until_failure(&log, 1, 20).await;
            let mut old = log;
            for round in 0..3 {
                disk.power_cut_after(cut + round);
                acknowledged = append_until_failure(&old, acknowledged + 1, 10).await;
                disk.power_cut();
                drop(old);
                tokio::time::sleep(Duration::from_millis(1)).await;
                let (log, recovered) = open(&disk, seed).await.expect("a torn tail is cut, not damage");
                let found = count(&recovered.state);
                // What was under way may have come through.
                prop_assert!(found == acknowledged || found == acknowledged + 1, "{found} of {acknowledged}");
                role(&log, LogRole::Leader).await;
                applied(&log, found).await;
                acknowledged = found;
                old = log;
            }
            prop_assert_eq!(append_until_failure(&old, acknowledged + 1, 5).await, acknowledged + 5);
            Ok(())
        })?;
    }
}

/// A log with a snapshot, votes and records; closed in order, or by a power cut.
fn used_disk(in_order: bool) -> (FaultyDisk, Arc<exo_state::State>) {
    paused(async {
        let disk = FaultyDisk::new(3);
        let (log, _) = open(&disk, 3).await.expect("opens");
        log.found(session(1), None).await.expect("founds");
        role(&log, LogRole::Leader).await;
        assert_eq!(append_until_failure(&log, 1, 40).await, 40);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(append_until_failure(&log, 41, 3).await, 43);
        let state = log.state().borrow().clone();
        if in_order {
            log.close().await;
        }
        (disk.duplicate(4), state)
    })
}

fn check_flip(disk: &FaultyDisk, expect: &exo_state::State, byte: u64, bit: u8) -> bool {
    let copy = disk.duplicate(byte);
    copy.flip_bit_at(byte, bit);
    match paused(open(&copy, 9)) {
        Ok((_, recovered)) => {
            assert_eq!(*recovered.state, *expect, "bit {bit} of byte {byte} changed what is read");
            false
        }
        Err(OpenError::Damaged { .. }) => true,
        Err(error) => panic!("bit {bit} of byte {byte}: {error}"),
    }
}

#[test]
fn a_flipped_bit_is_damage_or_changes_nothing() {
    for in_order in [true, false] {
        let (disk, expect) = used_disk(in_order);
        // The head of the file bit by bit, then one bit of everything that is not zero for long, as far as time allows.
        let mut noticed = 0;
        for byte in 0..192 {
            noticed += u64::from(check_flip(&disk, &expect, byte, (byte % 8) as u8));
        }
        let step = (disk.len() / 200).max(1) | 1;
        for byte in (192..disk.len()).step_by(usize::try_from(step).expect("small")) {
            noticed += u64::from(check_flip(&disk, &expect, byte, (byte % 7) as u8));
        }
        assert!(noticed > 20, "{noticed} flips were noticed");
    }
}

#[test]
fn a_file_that_is_cut_short_or_no_log_is_damage() {
    let (disk, _) = used_disk(true);
    let scratch = tempfile::tempdir().expect("a scratch directory");
    assert!(disk.len() > 4096);
    std::fs::write(scratch.path().join("log.redb"), [7; 70_000]).expect("writes");
    let place = Place::Directory(scratch.path().to_owned());
    let wire = Network::default().end_of(&node("a"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let error = runtime.block_on(EventLog::open(place, LogOptions::new(node("a"), 1), wire)).expect_err("no log");
    let text = error.to_string();
    assert!(matches!(error, OpenError::Damaged { .. }), "{text}");
    assert!(text.contains("restore") && text.contains("exo cluster recover"), "{text}");
}

/// Turns bits until the log of that node does not open any more.
fn damage(cluster: &Cluster, name: &NodeId) {
    for _ in 0..400 {
        cluster.disks[name].flip_bit();
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_log_is_put_away_and_comes_back_from_the_others_under_another_id() {
    let mut cluster = Cluster::of_three(50).await;
    cluster.append(1..=30).await.expect("appends");
    cluster.caught_up(30).await;
    let leader = cluster.leader().await;
    let name = cluster.logs.keys().find(|name| **name != leader).cloned().expect("another one");
    let before = cluster.log(name.as_str()).member();
    cluster.kill(name.as_str());
    damage(&cluster, &name);
    let recovered = cluster.start(name.as_str()).await;
    assert!(recovered.quarantined.is_some() && recovered.session.is_none(), "it is put away");
    let lost = recovered.lost.expect("others have it");
    assert_eq!((cluster.disks[&name].quarantined(), lost.members.voters.len()), (1, 3));
    assert_eq!(lost.session, session(1));

    // Stopped before anybody took it in, it still knows whose it is.
    cluster.kill(name.as_str());
    cluster.disks[&name].power_cut();
    let recovered = cluster.start(name.as_str()).await;
    assert!(recovered.quarantined.is_none() && recovered.session.is_none());
    assert_eq!(recovered.lost, Some(lost));
    let log = cluster.log(name.as_str()).clone();
    assert_ne!(log.member().raft_id, before.raft_id);

    // It has nothing and is nobody: it never leads, whatever happens to the others.
    log.join(session(1)).await.expect("joins");
    log.trigger_election(u64::MAX);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(log.standing().borrow().role, LogRole::Learner);

    let members = cluster.standing(leader.as_str()).members;
    let kept =
        members.voters.iter().filter(|member| **member != before).cloned().collect::<std::collections::BTreeSet<_>>();
    let leading = cluster.log(leader.as_str());
    within(async {
        while leading.set_members(kept.clone(), [log.member()].into()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    applied(&log, 30).await;
    cluster.promote_all().await;
    cluster.append(31..=31).await.expect("goes on");
    cluster.caught_up(31).await;
    cluster.check_agreement();
    role(&log, LogRole::Follower).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_log_that_nobody_else_has_is_left_where_it_is() {
    let mut cluster = Cluster::of_one(51).await;
    cluster.append(1..=30).await.expect("appends");
    cluster.kill("a");
    damage(&cluster, &node("a"));
    let error = open(&cluster.disks[&node("a")], 9).await.expect_err("damaged");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(cluster.disks[&node("a")].quarantined(), 0);
    assert!(!cluster.disks[&node("a")].is_empty());
}
