//! A State that comes in parts.

use exo_types::{EventIndex, SnapshotMark, SnapshotPart};

/// Bytes of the largest State that is taken: sixteen times what 256 nodes make.
const LIMIT: u64 = 256 << 20;

/// Why parts do not make a State.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// More than anybody should send.
    #[error("the master has a snapshot of {size} bytes, at most {LIMIT} are taken")]
    TooLarge {
        /// Bytes that it is said to have.
        size: u64,
    },
    /// Not the part that is next.
    #[error("the part of the snapshot from byte {expected} on is next, one from byte {got} on came")]
    NotNext {
        /// Where the next part begins.
        expected: u64,
        /// Where the one that came does.
        got: u64,
    },
    /// Nothing in it, or more than there is room for.
    #[error("a part of {bytes} bytes does not fit into a snapshot of which {missing} bytes are missing")]
    Length {
        /// Bytes of the part.
        bytes: u64,
        /// Bytes that were missing.
        missing: u64,
    },
}

/// The parts that came.
#[derive(Debug)]
pub(super) struct Assembly {
    index: EventIndex,
    size: u64,
    bytes: Vec<u8>,
}

impl Assembly {
    /// How far it is.
    pub(super) fn mark(&self) -> SnapshotMark {
        SnapshotMark { index: self.index, offset: self.bytes.len() as u64 }
    }

    /// Adds a part, or begins with it. The whole State when this was its last part; nothing is kept of one that failed.
    pub(super) fn take(kept: &mut Option<Self>, part: Option<SnapshotPart>) -> Result<Option<Vec<u8>>, PartError> {
        let before = kept.take();
        let Some(part) = part else { return Ok(None) };
        if part.size > LIMIT {
            return Err(PartError::TooLarge { size: part.size });
        }
        // Room is made as parts come, not as their sender promises.
        let fresh = Self { index: part.index, size: part.size, bytes: Vec::new() };
        let is_same = |other: &Self| (other.index, other.size) == (part.index, part.size);
        let mut assembly = before.filter(|other| part.offset > 0 && is_same(other)).unwrap_or(fresh);
        let expected = assembly.bytes.len() as u64;
        if part.offset != expected {
            return Err(PartError::NotNext { expected, got: part.offset });
        }
        let (bytes, missing) = (part.bytes.0.0, part.size - expected);
        if bytes.is_empty() || bytes.len() as u64 > missing {
            return Err(PartError::Length { bytes: bytes.len() as u64, missing });
        }
        assembly.bytes.extend(bytes);
        if assembly.bytes.len() as u64 == assembly.size {
            return Ok(Some(assembly.bytes));
        }
        *kept = Some(assembly);
        Ok(None)
    }
}
