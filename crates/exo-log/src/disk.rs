//! Where a log is kept: a directory, or what stands for it in a simulation.

mod backend;
mod directory;
mod executor;
mod faulty;

pub(crate) use backend::Backend;
pub use directory::DirectoryDisk;
pub(crate) use executor::{Executor, NoExecutor};
pub use faulty::FaultyDisk;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where a log is kept.
#[derive(Debug, Clone)]
pub enum Place {
    /// A directory of its own; made when it is missing. The disk's work is done on a thread.
    Directory(PathBuf),
    /// Anything else. The disk's work is done where it is asked for, so that nothing depends on threads.
    Disk(Arc<dyn Disk>),
}

impl Place {
    pub(crate) fn into_disk(self) -> Arc<dyn Disk> {
        match self {
            Self::Directory(path) => Arc::new(DirectoryDisk::new(path)),
            Self::Disk(disk) => disk,
        }
    }
}

/// The files beside the log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SmallFile {
    /// Who takes part: what is needed to know when the log file is damaged.
    Members,
    /// How many commits were completed: what a log file must not fall behind.
    Tail,
}

impl SmallFile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Tail => "tail",
        }
    }
}

/// A directory with one log file and two small ones.
pub trait Disk: Debug + Send + Sync + 'static {
    /// What messages call it.
    fn name(&self) -> String;

    /// Opens the log file for one user, and makes it when it is missing. `WouldBlock`: somebody else has it.
    fn open(&self) -> io::Result<Box<dyn DiskFile>>;

    /// Whether there is a log file with anything in it.
    fn has_log(&self) -> io::Result<bool>;

    /// Reads a small file.
    fn read_small(&self, file: SmallFile) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a small file as a whole; it is on the disk then.
    fn write_small(&self, file: SmallFile, bytes: &[u8]) -> io::Result<()>;

    /// Replaces a small file of always the same length. A power cut may lose that.
    fn note_small(&self, file: SmallFile, bytes: &[u8]) -> io::Result<()>;

    /// Puts the log out of the way, and says where. What remains is [`SmallFile::Members`]: who else has it.
    fn quarantine(&self) -> io::Result<String>;

    /// How long the work since the last call would have taken; whoever asked for it waits that long.
    fn take_delay(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether its work blocks, and belongs on a thread.
    fn blocks(&self) -> bool {
        false
    }
}

/// The log file, open.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Its length.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Fills the buffer from there, or fails.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Makes it that long; new bytes are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written is on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Writes all the bytes there.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
}
