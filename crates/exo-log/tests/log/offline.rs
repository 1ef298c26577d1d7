//! Tools for logs that are not open.

use crate::support::*;
use exo_log::{
    EventLog, LogOptions, LogRole, Place, ToolError, export, read_backup, restore, tail, verify, write_backup,
};
use exo_log::{OpenError, read_single, retire_single};
use exo_state::State;
use exo_types::{Event, EventIndex, IndexedEvent, Millis};
use std::path::Path;
use std::sync::Arc;

/// A closed log with events 1 to 50.
async fn used(directory: &Path) -> Arc<State> {
    let options = LogOptions { snapshot_every: 20, ..LogOptions::new(node("a"), 1) };
    let wire = Network::default().end_of(&node("a"));
    let (log, _) = EventLog::open(Place::Directory(directory.to_owned()), options, wire).await.expect("opens");
    log.found(session(1), None).await.expect("founds");
    role(&log, LogRole::Leader).await;
    for number in 1..=50 {
        log.record(events(number..=number)).await.expect("appends");
    }
    let state = log.state().borrow().clone();
    log.close().await;
    state
}

#[tokio::test]
async fn a_backup_brings_everything_back_as_a_new_session() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (directory, file) = (scratch.path().join("1-m"), scratch.path().join("backup"));
    let state = used(&directory).await;
    let checked = verify(&directory).expect("is whole");
    assert_eq!((checked.session.clone(), checked.last_event), (Some(session(1)), EventIndex(50)));
    assert_eq!(export(&directory, &file).expect("exports"), checked);
    assert!(matches!(export(&directory, &file), Err(ToolError::File { .. })), "a backup is never overwritten");
    let backup = read_backup(&file).expect("reads");
    assert_eq!((&backup.state, &backup.summary), (&state, &checked));

    let restored = scratch.path().join("2-b");
    let summary = restore(&file, &restored, session(2), node("b"), 7).expect("restores");
    assert_eq!((summary.session, summary.last_event), (Some(session(2)), EventIndex(50)));
    assert!(matches!(restore(&file, &restored, session(2), node("b"), 7), Err(ToolError::Occupied { .. })));
    let wire = Network::default().end_of(&node("b"));
    let opened = EventLog::open(Place::Directory(restored), LogOptions::new(node("b"), 8), wire).await;
    let (log, recovered) = opened.expect("opens");
    assert_eq!((recovered.session, &recovered.state), (Some(session(2)), &state));
    role(&log, LogRole::Leader).await;
    let appended = log.append(EventIndex(50), events(51..=51)).await.expect("goes on");
    assert_eq!(appended.last, EventIndex(51));
    log.close().await;
}

#[test]
fn a_backup_is_written_from_a_state_alone() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("backup");
    let state = State { last_event_applied_idx: EventIndex(9), ..State::default() };
    let summary = write_backup(&file, &session(3), &state).expect("writes");
    assert_eq!((summary.session, summary.last_event), (Some(session(3)), EventIndex(9)));
    assert_eq!(*read_backup(&file).expect("reads").state, state);
    let restored = restore(&file, &scratch.path().join("4-a"), session(4), node("a"), 1).expect("restores");
    assert_eq!((restored.session, restored.last_event), (Some(session(4)), EventIndex(9)));
}

#[tokio::test]
async fn the_tail_shows_the_last_events() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let directory = scratch.path().join("1-m");
    used(&directory).await;
    let indices = |limit| -> Vec<u64> { tail(&directory, limit).expect("reads").iter().map(|e| e.idx.0).collect() };
    assert_eq!(indices(3), [48, 49, 50]);
    assert_eq!(indices(1000).last(), Some(&50));
}

#[tokio::test]
async fn what_is_missing_in_use_or_damaged_is_told() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let directory = scratch.path().join("1-m");
    assert!(matches!(verify(&directory), Err(ToolError::Missing { .. })));
    used(&directory).await;
    let wire = Network::default().end_of(&node("a"));
    let place = Place::Directory(directory.clone());
    let (log, _) = EventLog::open(place, LogOptions::new(node("a"), 1), wire).await.expect("opens");
    assert!(matches!(verify(&directory), Err(ToolError::Open(OpenError::InUse { .. }))));
    log.close().await;
    let file = scratch.path().join("backup");
    export(&directory, &file).expect("exports");
    let whole = std::fs::read(&file).expect("reads");
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&file, &changed).expect("writes");
        assert!(matches!(read_backup(&file), Err(ToolError::Backup { .. })), "byte {at}");
        std::fs::write(&file, &whole[..at]).expect("writes");
        assert!(matches!(read_backup(&file), Err(ToolError::Backup { .. })), "first {at} bytes");
    }
    let log_file = directory.join("log.redb");
    let mut bytes = std::fs::read(&log_file).expect("reads");
    let needle = b"SessionOpened";
    let places: Vec<usize> = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    std::fs::write(&log_file, bytes).expect("writes");
    assert!(matches!(verify(&directory), Err(ToolError::Open(OpenError::Damaged { .. }))));
}

/// What the one-master log wrote: a State of two events, and three events behind it.
fn write_single(old: &redb::Database) {
    let opened = |idx| Event::SessionOpened { session: session(idx), when: Millis(idx) };
    let event = |idx| IndexedEvent { idx: EventIndex(idx), origin: None, event: opened(idx) };
    let mut snapshot = State::default();
    (1..=2).for_each(|idx| drop(exo_state::apply(&mut snapshot, &event(idx))));
    let write = old.begin_write().expect("writes");
    {
        let mut meta = write.open_table(redb::TableDefinition::<&str, &[u8]>::new("meta")).expect("writes");
        meta.insert("snapshot", exo_state::encode_state(&snapshot).expect("encodes").as_slice()).expect("writes");
        let mut events = write.open_table(redb::TableDefinition::<u64, &[u8]>::new("events")).expect("writes");
        for idx in 1..=5 {
            let record = exo_state::encode_event(&event(idx)).expect("encodes");
            events.insert(idx, record.as_slice()).expect("writes");
        }
    }
    write.commit().expect("commits");
}

#[tokio::test]
async fn the_log_of_one_master_becomes_the_seed_of_a_session() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    assert_eq!(read_single(scratch.path()), Ok(None));
    let old = redb::Database::create(scratch.path().join("log.redb")).expect("creates");
    write_single(&old);
    assert!(matches!(read_single(scratch.path()), Err(OpenError::InUse { .. })));
    drop(old);
    let state = read_single(scratch.path()).expect("reads").expect("is there");
    assert_eq!(state.last_event_applied_idx, EventIndex(5));
    let wire = Network::default().end_of(&node("a"));
    let place = Place::Directory(scratch.path().join("2-a"));
    let (log, _) = EventLog::open(place, LogOptions::new(node("a"), 1), wire).await.expect("opens");
    log.found(session(2), Some(state.clone())).await.expect("founds");
    assert!(retire_single(scratch.path()).expect("renames").exists());
    assert_eq!(read_single(scratch.path()), Ok(None));
    assert_eq!(**log.state().borrow(), state);
    log.close().await;
}
