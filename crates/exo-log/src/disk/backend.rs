//! A disk's file as redb wants it.

use super::DiskFile;
use crate::counters::{Counting, add};
use exo_ambient::{Bug, planted};
use redb::StorageBackend;
use std::io;
use std::sync::Arc;

/// The file. Who may open it is decided by the disk.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) counting: Arc<Counting>,
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if planted(Bug::AckBeforeFsync) {
            return Ok(());
        }
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        add(&self.counting.file_bytes, data.len() as u64);
        self.file.write(offset, data)
    }
}
