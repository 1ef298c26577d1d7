//! A disk that fails in the middle of a commit.

use super::*;
use exo_types::{Event, Millis, NodeId, SessionId};
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Calls that still work; negative when none does.
type Budget = Arc<AtomicI64>;

/// A file whose writing ends when the budget does.
#[derive(Debug)]
struct FailingFile {
    file: FileBackend,
    budget: Budget,
}

impl FailingFile {
    fn spend(&self) -> io::Result<()> {
        if self.budget.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
    }
}

impl StorageBackend for FailingFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.spend()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.spend()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.spend()?;
        self.file.write(offset, data)
    }
}

fn storage_on(directory: &Path, budget: &Budget) -> RedbStorage {
    let budget = budget.clone();
    let create = move |path: &Path| {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let backend = FailingFile { file: FileBackend::new(file)?, budget: budget.clone() };
        Database::builder().create_with_backend(backend)
    };
    RedbStorage::created_by(directory, Box::new(create))
}

fn event(idx: u64, generation: u64) -> IndexedEvent {
    let session = SessionId { generation, master_node_id: NodeId::new("m").expect("a good id") };
    IndexedEvent { idx: EventIndex(idx), origin: None, event: Event::SessionOpened { session, when: Millis(idx) } }
}

#[test]
fn a_commit_that_fails_at_any_call_leaves_what_was_acknowledged_and_nothing_else() {
    const PLENTY: i64 = 1 << 40;
    for budget_of_commit in 0..12 {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let budget: Budget = Arc::new(AtomicI64::new(PLENTY));
        let mut storage = storage_on(scratch.path(), &budget);
        storage.recover().expect("opens");
        storage.append(&[event(1, 1), event(2, 1)]).expect("appends");
        budget.store(budget_of_commit, Ordering::SeqCst);
        let failed = storage.append(&[event(3, 77), event(4, 77)]).is_err();
        budget.store(PLENTY, Ordering::SeqCst);
        let mut expect = vec![event(1, 1), event(2, 1)];
        if failed {
            // Fewer than before: what the failed commit may have left behind them must be gone too.
            storage.append(&[event(3, 5)]).expect("the disk works again");
            expect.push(event(3, 5));
        } else {
            expect.extend([event(3, 77), event(4, 77)]);
        }
        let page = storage.read(EventIndex(1), 9).expect("reads");
        assert_eq!(page.events, expect, "after {budget_of_commit} calls");
        drop(storage);
        let recovered = RedbStorage::new(scratch.path()).recover().expect("opens again");
        assert_eq!(recovered.state.last_event_applied_idx, EventIndex(expect.len() as u64));
    }
}
