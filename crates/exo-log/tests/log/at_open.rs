//! Places that a log cannot be opened at, and what the operator reads.

use crate::support::*;
use exo_log::{EventLog, FaultyDisk, LogOptions, LogOwner, OpenError, Place, Recovered, verify};
use exo_types::NodeId;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

async fn open(place: Place, name: &NodeId) -> Result<(EventLog, Recovered), OpenError> {
    EventLog::open(place, LogOptions::new(name.clone(), 5), Network::default().end_of(name)).await
}

fn on(disk: &FaultyDisk) -> Place {
    Place::Disk(Arc::new(disk.clone()))
}

fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The message; it names the place and what to do.
fn unavailable(opened: Result<(EventLog, Recovered), OpenError>) -> String {
    let error = opened.expect_err("it cannot be opened");
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.ends_with("; check the directory's owner and free space"), "{text}");
    text
}

#[test]
fn every_refusal_names_the_log_and_the_remedy() {
    let path = || "/var/lib/exo/master/3-a".to_owned();
    let reason = || "the reason".to_owned();
    let (theirs, ours) = ("0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4));
    let refusals = [
        (OpenError::InUse { path: path() }, "stop the other exo-master"),
        (OpenError::Damaged { path: path(), reason: reason() }, "exo log restore"),
        (OpenError::Damaged { path: path(), reason: reason() }, "exo cluster recover"),
        (OpenError::Newer { path: path(), reason: reason() }, "use that version again"),
        (OpenError::Foreign { path: path(), owner: LogOwner::Node(node("b")) }, "exo cluster join"),
        (OpenError::Foreign { path: path(), owner: LogOwner::Cluster { theirs, ours } }, "exo cluster recover"),
        (OpenError::Unavailable { path: path(), reason: reason() }, "check the directory's owner and free space"),
    ];
    for (error, remedy) in refusals {
        let text = error.to_string();
        assert!(text.starts_with("the log /var/lib/exo/master/3-a ") && text.contains(remedy), "{text}");
        let has_reason = matches!(error, OpenError::InUse { .. } | OpenError::Foreign { .. });
        assert!(has_reason || text.contains("the reason"), "{text}");
        if let OpenError::Foreign { owner, .. } = &error {
            let names = match owner {
                LogOwner::Node(_) => ["node b", "never copied"],
                LogOwner::Cluster { .. } => ["cluster 0123456789ab,", "cluster fedcba987654 now"],
            };
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
        }
    }
}

#[tokio::test]
async fn a_place_that_is_no_directory_is_told() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("file");
    fs::write(&file, "in the way").expect("writes");
    let text = unavailable(open(Place::Directory(file.join("log")), &node("a")).await);
    assert!(text.contains("Not a directory"), "{text}");
}

/// Where the child of the next test finds its directories.
const READ_ONLY: &str = "EXO_LOG_TEST_READ_ONLY";

/// Nothing is read-only to root: there a child that is nobody looks.
#[test]
fn a_read_only_directory_is_told_and_left_as_it_is() {
    if let Some(directory) = std::env::var_os(READ_ONLY) {
        return look_at_read_only(Path::new(&directory));
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (used, empty) = (scratch.path().join("used"), scratch.path().join("empty"));
    blocking(async {
        let (log, _) = open(Place::Directory(used.clone()), &node("a")).await.expect("opens");
        log.found(session(1), None).await.expect("founds");
        log.close().await;
    });
    fs::create_dir(&empty).expect("makes");
    let before = fs::read(used.join("log.redb")).expect("reads");
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("changes");
    allow(&used.join("log.redb"), 0o444);
    for directory in [&used, &empty, &scratch.path().to_owned()] {
        allow(directory, 0o555);
    }
    let is_root = fs::metadata("/proc/self").expect("is there").uid() == 0;
    if is_root {
        look_as_nobody(scratch.path());
    } else {
        look_at_read_only(scratch.path());
    }
    for directory in [&scratch.path().to_owned(), &used, &empty] {
        allow(directory, 0o755);
    }
    allow(&used.join("log.redb"), 0o644);
    assert!(fs::read(used.join("log.redb")).expect("reads") == before, "nothing was written");
    assert_eq!(verify(&used).expect("is whole").session, Some(session(1)));
}

fn look_at_read_only(scratch: &Path) {
    for directory in ["used", "empty", "empty/new"] {
        let text = unavailable(blocking(open(Place::Directory(scratch.join(directory)), &node("a"))));
        assert!(text.contains("Permission denied") && text.contains(directory), "{text}");
    }
}

fn look_as_nobody(scratch: &Path) {
    const NOBODY: u32 = 65_534;
    let mut child = Command::new(std::env::current_exe().expect("has a path"));
    child.args(["--exact", "at_open::a_read_only_directory_is_told_and_left_as_it_is", "--nocapture"]);
    match child.env(READ_ONLY, scratch).uid(NOBODY).gid(NOBODY).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        Err(error) => eprintln!("skipped: nothing can run here without the rights of root ({error})"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_when_it_is_opened_is_told_and_nothing_is_lost() {
    let disk = FaultyDisk::new(60);
    disk.set_full(true);
    let text = unavailable(open(on(&disk), &node("a")).await);
    assert!(text.contains("no space left"), "{text}");
    disk.set_full(false);
    open(on(&disk), &node("a")).await.expect("there is room");

    let mut cluster = Cluster::of_three(61).await;
    cluster.append(1..=20).await.expect("appends");
    cluster.caught_up(20).await;
    cluster.kill("b");
    let name = node("b");
    let disk = cluster.disks[&name].clone();
    disk.set_full(true);
    let text = unavailable(open(on(&disk), &name).await);
    assert!(text.contains("no space left"), "{text}");
    disk.set_full(false);
    let recovered = cluster.start("b").await;
    assert_eq!((recovered.quarantined, recovered.state.last_event_applied_idx.0), (None, 20));
    assert_eq!(disk.quarantined(), 0);
}

/// What fails while a log is opened is the disk, not the log: it is never put away for that.
#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_while_it_is_opened_is_no_damage() {
    let mut cluster = Cluster::of_three(62).await;
    cluster.append(1..=20).await.expect("appends");
    cluster.caught_up(20).await;
    cluster.kill("b");
    let name = node("b");
    let mut failed = 0;
    for calls in 0..40 {
        let disk = cluster.disks[&name].duplicate(calls);
        disk.power_cut_after(calls);
        if let Err(error) = open(on(&disk), &name).await {
            assert!(matches!(error, OpenError::Unavailable { .. }), "after {calls} calls: {error}");
            failed += 1;
        }
        disk.power_cut();
        let (_, recovered) = open(on(&disk), &name).await.expect("it works again");
        assert_eq!((recovered.quarantined, recovered.state.last_event_applied_idx.0), (None, 20));
    }
    assert!(failed > 0);
}
