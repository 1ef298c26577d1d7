//! The small file `members`: who takes part, readable when the log is not.

use crate::Members;
use crate::disk::{Disk, SmallFile};
use exo_types::{SessionId, unpack};
use serde::{Deserialize, Serialize};
use std::io;

const MAGIC: &[u8; 8] = b"exomemb1";

/// Who takes part in which session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MembersFile {
    pub(crate) session: Option<SessionId>,
    pub(crate) members: Members,
}

impl MembersFile {
    /// None when it is missing or does not check: then nobody else is known of.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        Ok(disk.read_small(SmallFile::Members)?.and_then(|bytes| Self::decode(&bytes)))
    }

    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let payload = rmp_serde::to_vec_named(self).map_err(io::Error::other)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(crc32c::crc32c(&payload).to_le_bytes());
        bytes.extend(payload);
        disk.write_small(SmallFile::Members, &bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (checksum, payload) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let whole = u32::from_le_bytes(*checksum) == crc32c::crc32c(payload);
        if whole { unpack(payload).ok() } else { None }
    }
}
