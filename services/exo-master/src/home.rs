//! Where the logs of a master's sessions are kept.

use crate::layout::{ARCHIVED, SessionLogs};
use exo_identity::Fingerprint;
use exo_log::{EventLog, FaultyDisk, Place};
use exo_types::SessionId;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A log's name among those of its node.
pub type Slot = PathBuf;

/// Keeps the logs of one node: one in use, those before it in the archive. Asked rarely; may block for a moment.
pub trait LogHome: fmt::Debug + Send + Sync + 'static {
    /// The one in use; none before the first.
    fn current(&self) -> io::Result<Option<Slot>>;
    /// An empty place for a session's log. It is not in use yet.
    fn begin(&self, session: Option<&SessionId>) -> io::Result<Slot>;
    /// Takes it into use; the other one is the archive then, whatever happens.
    fn set_current(&self, slot: &Slot) -> io::Result<()>;
    /// What [`exo_log`] opens.
    fn place(&self, slot: &Slot) -> Place;
    /// It was opened, and nothing was applied in it since: who watches begins here.
    fn opened(&self, _slot: &Slot, _log: &EventLog) {}
    /// The cluster whose logs they are: the fingerprint of its authority. None: nobody asks.
    fn cluster(&self) -> Option<String> {
        None
    }
    /// The directory with a log of the format before replication, if there is one.
    fn legacy(&self) -> Option<&Path> {
        None
    }
}

/// Below a node's data directory.
#[derive(Debug)]
pub struct DirectoryHome {
    logs: SessionLogs,
    cluster: Fingerprint,
}

impl DirectoryHome {
    /// Nothing is made yet.
    pub fn new(data_dir: &Path, cluster: Fingerprint) -> Self {
        Self { logs: SessionLogs::of(data_dir), cluster }
    }
}

impl LogHome for DirectoryHome {
    fn current(&self) -> io::Result<Option<Slot>> {
        self.logs.current()
    }

    fn begin(&self, session: Option<&SessionId>) -> io::Result<Slot> {
        self.logs.begin(session)
    }

    fn set_current(&self, slot: &Slot) -> io::Result<()> {
        self.logs.set_current(slot)?;
        self.logs.prune(ARCHIVED).map(drop)
    }

    fn place(&self, slot: &Slot) -> Place {
        Place::Directory(slot.clone())
    }

    fn cluster(&self) -> Option<String> {
        Some(self.cluster.to_string())
    }

    fn legacy(&self) -> Option<&Path> {
        Some(self.logs.directory())
    }
}

/// On disks in memory, which outlive the master that uses them: for tests and simulation.
#[derive(Debug, Clone)]
pub struct MemoryHome(Arc<Mutex<Disks>>);

#[derive(Debug)]
struct Disks {
    seed: u64,
    current: Option<Slot>,
    disks: BTreeMap<Slot, FaultyDisk>,
    is_full: bool,
}

impl MemoryHome {
    /// No log yet. What the disks lose in a power cut follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disks { seed, current: None, disks: BTreeMap::new(), is_full: false })))
    }

    /// The disk of the log in use.
    pub fn disk(&self) -> Option<FaultyDisk> {
        let disks = self.disks();
        disks.disks.get(disks.current.as_ref()?).cloned()
    }

    /// All disks that there ever were, by name.
    pub fn all(&self) -> Vec<(Slot, FaultyDisk)> {
        self.disks().disks.iter().map(|(slot, disk)| (slot.clone(), disk.clone())).collect()
    }

    /// Lets every disk be full, or not any more.
    pub fn set_full(&self, full: bool) {
        let mut disks = self.disks();
        disks.is_full = full;
        disks.disks.values().for_each(|disk| disk.set_full(full));
    }

    fn disks(&self) -> MutexGuard<'_, Disks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogHome for MemoryHome {
    fn current(&self) -> io::Result<Option<Slot>> {
        Ok(self.disks().current.clone())
    }

    fn begin(&self, session: Option<&SessionId>) -> io::Result<Slot> {
        let mut disks = self.disks();
        let number = disks.disks.len() as u64;
        let name = session.map_or_else(|| "new".to_owned(), ToString::to_string);
        let slot = PathBuf::from(format!("{number}-{name}"));
        let disk = FaultyDisk::new(disks.seed ^ (number << 32));
        disk.set_full(disks.is_full);
        disks.disks.insert(slot.clone(), disk);
        Ok(slot)
    }

    fn set_current(&self, slot: &Slot) -> io::Result<()> {
        self.disks().current = Some(slot.clone());
        Ok(())
    }

    fn place(&self, slot: &Slot) -> Place {
        let mut disks = self.disks();
        let seed = disks.seed;
        let disk = disks.disks.entry(slot.clone()).or_insert_with(|| FaultyDisk::new(seed));
        Place::Disk(Arc::new(disk.clone()))
    }
}
