//! A disk's file as redb wants it.

use super::DiskFile;
use exo_ambient::{Bug, planted};
use redb::StorageBackend;
use std::io;

/// The file. Who may open it is decided by the disk.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Box<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if planted(Bug::AckBeforeFsync) {
            return Ok(());
        }
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }
}
