//! A log without a disk, for tests: it can be told to fail, and to be opened again.

use super::{OpenError, Page, ReadError, Recovered, Storage, StorageError};
use exo_state::{State, apply};
use exo_types::{EventIndex, IndexedEvent};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Makes writing fail, as a full disk does, while it is off.
#[derive(Debug, Clone)]
pub struct WriteSwitch(Arc<AtomicBool>);

impl WriteSwitch {
    /// Whether writing works from now on.
    pub fn set(&self, works: bool) {
        self.0.store(works, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct Kept {
    snapshot: State,
    events: BTreeMap<EventIndex, IndexedEvent>,
}

/// Keeps a log in memory. A clone is the same log: opened again after a "crash".
#[derive(Debug, Clone)]
pub struct MemoryStorage {
    kept: Arc<Mutex<Kept>>,
    works: WriteSwitch,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self { kept: Arc::default(), works: WriteSwitch(Arc::new(AtomicBool::new(true))) }
    }
}

impl MemoryStorage {
    /// Turns writing off and on.
    pub fn switch(&self) -> WriteSwitch {
        self.works.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, action: &'static str) -> Result<(), StorageError> {
        if self.works.0.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(StorageError { path: PathBuf::from("memory"), action, reason: "no space left on device".to_owned() })
    }
}

impl Kept {
    fn last(&self) -> EventIndex {
        self.events.keys().next_back().copied().unwrap_or(self.snapshot.last_event_applied_idx)
    }
}

impl Storage for MemoryStorage {
    fn recover(&mut self) -> Result<Recovered, OpenError> {
        let kept = self.kept();
        let mut state = kept.snapshot.clone();
        let later: Vec<_> = kept.events.range(state.last_event_applied_idx.next()..).collect();
        for (_, event) in &later {
            apply(&mut state, event);
        }
        Ok(Recovered { state, replayed: later.len() as u64 })
    }

    fn append(&mut self, events: &[IndexedEvent]) -> Result<(), StorageError> {
        self.check("append")?;
        self.kept().events.extend(events.iter().map(|event| (event.idx, event.clone())));
        Ok(())
    }

    fn read(&mut self, since: EventIndex, limit: usize) -> Result<Page, ReadError> {
        let kept = self.kept();
        let first = kept.events.keys().next().copied().unwrap_or(kept.last().next());
        if since < first {
            return Err(ReadError::Purged { first });
        }
        let events = kept.events.range(since..).take(limit).map(|(_, event)| event.clone()).collect();
        Ok(Page { events, last: kept.last() })
    }

    fn save_snapshot(&mut self, state: &State, keep_from: EventIndex) -> Result<(), StorageError> {
        self.check("save a snapshot")?;
        let mut kept = self.kept();
        kept.snapshot = state.clone();
        kept.events = kept.events.split_off(&keep_from);
        Ok(())
    }
}
