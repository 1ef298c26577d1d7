//! What the log promises, over the disk and over memory.

use exo_log::single::{
    AppendError, EventLog, MemoryStorage, OpenError, ReadError, RedbStorage, SNAPSHOT_EVERY, Storage,
};
use exo_state::{State, apply};
use exo_types::{Event, EventIndex, IndexedEvent, Millis, NodeId, SessionId};
use std::path::Path;
use std::sync::Arc;

fn event(idx: u64) -> IndexedEvent {
    let master_node_id = NodeId::new("m").expect("a good id");
    let session = SessionId { generation: idx, master_node_id };
    IndexedEvent { idx: EventIndex(idx), origin: None, event: Event::SessionOpened { session, when: Millis(idx) } }
}

fn events(range: std::ops::RangeInclusive<u64>) -> Vec<IndexedEvent> {
    range.map(event).collect()
}

fn folded(last: u64) -> State {
    let mut state = State::default();
    for event in events(1..=last) {
        apply(&mut state, &event);
    }
    state
}

fn open(directory: &Path) -> (EventLog, State) {
    let (log, recovered) = EventLog::open(directory).expect("opens");
    (log, recovered.state)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (log, state) = open(scratch.path());
    assert_eq!(state, State::default());
    assert_eq!(log.append(events(1..=3)).await.expect("appends").last, EventIndex(3));
    assert_eq!(log.append(events(4..=4)).await.expect("appends").last, EventIndex(4));
    drop(log);
    let (log, state) = open(scratch.path());
    assert_eq!(state, folded(4));
    let page = log.read(EventIndex(2), 2).await.expect("reads");
    assert_eq!((page.events, page.last), (events(2..=3), EventIndex(4)));
    assert!(log.read(EventIndex(5), 9).await.expect("reads").events.is_empty());
}

#[tokio::test]
async fn events_that_do_not_follow_are_refused_and_leave_nothing() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (log, _) = open(scratch.path());
    for (given, expected, got) in [(events(2..=2), 1, 2), (vec![event(1), event(3)], 2, 3)] {
        let error = AppendError::NotNext { expected: EventIndex(expected), got: EventIndex(got) };
        assert_eq!(log.append(given).await, Err(error));
    }
    assert_eq!(log.append(events(1..=1)).await.expect("appends").last, EventIndex(1));
}

#[tokio::test]
async fn appends_that_wait_together_are_all_answered() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (log, _) = open(scratch.path());
    let appends = (1..=50).map(|idx| log.append(events(idx..=idx)));
    for outcome in futures::future::join_all(appends).await {
        outcome.expect("appends");
    }
    assert_eq!(log.read(EventIndex(1), 100).await.expect("reads").events.len(), 50);
}

#[tokio::test]
async fn a_snapshot_shortens_the_log_and_restarts_from_it() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (log, _) = open(scratch.path());
    let last = SNAPSHOT_EVERY;
    assert!(!log.append(events(1..=last - 1)).await.expect("appends").snapshot_due);
    assert!(log.append(events(last..=last)).await.expect("appends").snapshot_due);
    log.save_snapshot(Arc::new(folded(last))).await.expect("saves");
    assert!(!log.append(events(last + 1..=last + 1)).await.expect("appends").snapshot_due);
    let purged = log.read(EventIndex(1), 10).await;
    assert!(matches!(purged, Err(ReadError::Purged { first }) if first > EventIndex(1)), "{purged:?}");
    assert_eq!(log.read(EventIndex(last), 10).await.expect("reads").events, events(last..=last + 1));
    drop(log);
    let (_log, recovered) = EventLog::open(scratch.path()).expect("opens");
    assert_eq!((recovered.state, recovered.replayed), (folded(last + 1), 1));
}

#[tokio::test]
async fn a_log_that_is_open_is_not_opened_twice() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (_log, _) = open(scratch.path());
    let error = EventLog::open(scratch.path()).expect_err("in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("log.redb"), "{error}");
}

#[test]
fn a_file_that_is_no_log_is_told_with_the_remedy() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    std::fs::write(scratch.path().join("log.redb"), [7; 70_000]).expect("writes");
    let error = EventLog::open(scratch.path()).expect_err("damaged");
    let text = error.to_string();
    assert!(matches!(error, OpenError::Damaged { .. }), "{text}");
    assert!(text.contains("log.redb") && text.contains("restore"), "{text}");
}

#[tokio::test]
async fn a_record_that_was_changed_is_noticed() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (log, _) = open(scratch.path());
    log.append(events(1..=3)).await.expect("appends");
    drop(log);
    let path = scratch.path().join("log.redb");
    let mut bytes = std::fs::read(&path).expect("reads");
    // Every copy of the record's last event, wherever the file keeps it.
    let needle = b"SessionOpened";
    let places: Vec<usize> = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    std::fs::write(&path, bytes).expect("writes");
    let error = EventLog::open(scratch.path()).expect_err("damaged");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let error = EventLog::open(&scratch.path().join("missing")).expect_err("nothing there");
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
}

#[test]
fn a_log_in_the_archive_makes_room_for_another() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    drop(open(scratch.path()));
    let archived = RedbStorage::archive(scratch.path(), "1-m").expect("archives");
    assert!(archived.exists() && !scratch.path().join("log.redb").exists());
}

#[tokio::test]
async fn a_full_disk_refuses_and_later_takes_the_same_events() {
    let storage = MemoryStorage::default();
    let switch = storage.switch();
    let (log, _) = EventLog::over(storage.clone()).expect("opens");
    log.append(events(1..=1)).await.expect("appends");
    switch.set(false);
    assert!(matches!(log.append(events(2..=3)).await, Err(AppendError::Storage(_))));
    assert!(log.save_snapshot(Arc::new(folded(1))).await.is_err());
    switch.set(true);
    log.append(events(2..=2)).await.expect("appends");
    drop(log);
    let (_, recovered) = EventLog::over(storage).expect("opens again");
    assert_eq!(recovered.state, folded(2));
}

/// The memory storage stands for the disk in other tests, so it must do the same.
#[test]
fn both_storages_do_the_same() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut disk = RedbStorage::new(scratch.path());
    let mut memory = MemoryStorage::default();
    let transcript = |storage: &mut dyn Storage| {
        let mut lines = Vec::new();
        lines.push(format!("{:?}", storage.recover().expect("recovers")));
        storage.append(&events(1..=5)).expect("appends");
        lines.push(format!("{:?}", storage.read(EventIndex(1), 3)));
        storage.save_snapshot(&folded(5), EventIndex(4)).expect("saves");
        storage.append(&events(6..=6)).expect("appends");
        for since in [1, 3, 4, 6, 7, 9] {
            lines.push(format!("{:?}", storage.read(EventIndex(since), 10)));
        }
        lines
    };
    assert_eq!(transcript(&mut disk), transcript(&mut memory));
}
