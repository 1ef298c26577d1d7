//! The small file `tail`: how many commits were complete. Written after each without a sync, so it may lag, never lead.

use crate::disk::{Disk, SmallFile};
use std::io;

const MAGIC: &[u8; 8] = b"exotail1";
const LENGTH: usize = 20;

/// A note that is missing or does not check says nothing.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<u64>> {
    let Some(bytes) = disk.read_small(SmallFile::Tail)? else { return Ok(None) };
    let Ok(bytes) = <[u8; LENGTH]>::try_from(bytes) else { return Ok(None) };
    let [m0, m1, m2, m3, m4, m5, m6, m7, n0, n1, n2, n3, n4, n5, n6, n7, c0, c1, c2, c3] = bytes;
    let commits = u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
    let whole = [m0, m1, m2, m3, m4, m5, m6, m7] == *MAGIC && encode(commits)[16..] == [c0, c1, c2, c3];
    Ok(whole.then_some(commits))
}

pub(super) fn write(disk: &dyn Disk, commits: u64, durably: bool) {
    let bytes = encode(commits);
    let written =
        if durably { disk.write_small(SmallFile::Tail, &bytes) } else { disk.note_small(SmallFile::Tail, &bytes) };
    if let Err(error) = written {
        tracing::debug!(%error, "the note of the last commit is not written; it will be with the next one");
    }
}

fn encode(commits: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&commits.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}
