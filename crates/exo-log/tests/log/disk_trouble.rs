//! Disks that are full or slow.

use crate::support::*;
use exo_log::{AppendError, LogRole};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_the_log_goes_on_when_there_is_room() {
    let cluster = Cluster::of_one(60).await;
    cluster.append(1..=3).await.expect("appends");
    let (log, disk) = (cluster.log("a"), &cluster.disks[&node("a")]);
    for round in 0..3_u64 {
        disk.set_full(true);
        let refused = log.record(events(90..=99)).await;
        assert!(
            matches!(&refused, Err(AppendError::Storage(error)) if error.to_string().contains("space")),
            "{refused:?}"
        );
        role(log, LogRole::Stopped).await;
        let fault = log.standing().borrow().fault.clone().expect("says why");
        assert!(fault.contains("no space left"), "{fault}");
        let refused = log.record(events(90..=99)).await;
        assert!(matches!(refused, Err(AppendError::Storage(_))), "{refused:?}");
        sleep(Duration::from_secs(30)).await;
        assert_eq!(log.standing().borrow().role, LogRole::Stopped);
        disk.set_full(false);
        role(log, LogRole::Leader).await;
        assert_eq!(log.standing().borrow().fault, None);
        log.record(events(round + 4..=round + 4)).await.expect("there is room");
    }
    assert_eq!(numbers(log).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(log.counters().reopened, 3);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_disk_is_full_leaves_the_lead_to_another() {
    let cluster = Cluster::of_three(61).await;
    cluster.append(1..=3).await.expect("appends");
    let full = cluster.leader().await;
    cluster.disks[&full].set_full(true);
    let refused = cluster.log(full.as_str()).record(events(90..=99)).await;
    assert!(matches!(refused, Err(AppendError::Storage(_))), "{refused:?}");
    cluster.append(4..=5).await.expect("others have room");
    assert_ne!(cluster.leader().await, full);
    cluster.disks[&full].set_full(false);
    cluster.caught_up(5).await;
    cluster.check_agreement();
    assert_eq!(numbers(cluster.log(full.as_str())).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_takes_its_time_and_keeps_its_leader() {
    let cluster = Cluster::of_three(62).await;
    for disk in cluster.disks.values() {
        disk.set_sync_time(Duration::from_millis(100));
    }
    let leader = cluster.leader().await;
    let term = cluster.standing(leader.as_str()).term;
    let began = Instant::now();
    for number in 1..=20 {
        cluster.append(number..=number).await.expect("appends");
    }
    let each = began.elapsed() / 20;
    assert!(each >= Duration::from_millis(200) && each < Duration::from_millis(260), "{each:?}");
    assert_eq!(cluster.standing(leader.as_str()).term, term);
}

#[tokio::test(start_paused = true)]
async fn an_append_ends_within_its_deadline_when_the_disk_hangs() {
    let cluster = Cluster::of_one(63).await;
    cluster.disks[&node("a")].set_sync_time(Duration::from_secs(3600));
    let began = Instant::now();
    let first = cluster.log("a").record(events(1..=1)).await;
    assert!(matches!(first, Err(AppendError::Unknown { .. })), "{first:?}");
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}
