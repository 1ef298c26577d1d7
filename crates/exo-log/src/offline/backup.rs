//! A backup: one file with everything that a new session needs, readable for as long as the State is.
//!
//! ```text
//! "exobkup1"   length, 8 bytes   CRC-32C, 4 bytes   summary, MessagePack with names
//!              length, 8 bytes   CRC-32C, 4 bytes   a snapshot: the State and the last events
//! ```

use super::Summary;
use crate::machine::{self, Content};
use crate::{Members, RaftId, ToolError};
use exo_state::State;
use exo_types::{EventIndex, IndexedEvent, SessionId, unpack};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"exobkup1";

/// What is in a backup.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// Where it came from.
    pub summary: Summary,
    /// Everything that happened, folded.
    pub state: Arc<State>,
    /// The last things that happened.
    pub events: Vec<IndexedEvent>,
}

/// The summary as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    session: Option<SessionId>,
    raft_id: RaftId,
    members: Members,
    first_event: EventIndex,
    last_event: EventIndex,
    records: u64,
    snapshot_at: u64,
}

pub(super) fn write(file: &Path, summary: &Summary, content: &Content) -> Result<(), ToolError> {
    let path = file.display().to_string();
    let failed = |reason: String| ToolError::File { path: path.clone(), reason };
    let head = Head {
        session: summary.session.clone(),
        raft_id: summary.raft_id,
        members: summary.members.clone(),
        first_event: summary.first_event,
        last_event: summary.last_event,
        records: summary.records,
        snapshot_at: summary.snapshot_at,
    };
    let head = rmp_serde::to_vec_named(&head).map_err(|error| failed(error.to_string()))?;
    let body = machine::encode_content(content).map_err(|error| failed(error.to_string()))?;
    let mut bytes = MAGIC.to_vec();
    for record in [head, body] {
        bytes.extend((record.len() as u64).to_le_bytes());
        bytes.extend(crc32c::crc32c(&record).to_le_bytes());
        bytes.extend(record);
    }
    write_new(file, &bytes).map_err(|error| failed(error.to_string()))
}

/// A backup tells what runs where: it is its owner's alone. What could not be written whole is not left behind.
fn write_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let written = open.write_all(bytes).and_then(|()| open.sync_all());
    if written.is_err() {
        drop(fs::remove_file(file));
    }
    written
}

/// Reads a backup, and checks all of it.
pub fn read_backup(file: &Path) -> Result<Backup, ToolError> {
    let path = file.display().to_string();
    let bytes = fs::read(file).map_err(|error| ToolError::File { path: path.clone(), reason: error.to_string() })?;
    decode(&bytes).map_err(|reason| ToolError::Backup { path, reason })
}

fn decode(bytes: &[u8]) -> Result<Backup, String> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin like one")?;
    let head: Head = unpack(record(&mut rest)?).map_err(|error| error.to_string())?;
    let content = machine::decode_content(record(&mut rest)?).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("something follows its end".to_owned());
    }
    let Head { session, raft_id, members, first_event, last_event, records, snapshot_at } = head;
    let summary = Summary { session, raft_id, members, first_event, last_event, records, snapshot_at };
    let events = content.events.iter().flat_map(|group| group.iter().cloned()).collect();
    Ok(Backup { summary, state: content.state, events })
}

fn record<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let cut = "it is cut off";
    let (length, after) = rest.split_first_chunk().ok_or(cut)?;
    let (checksum, after) = after.split_first_chunk().ok_or(cut)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut)?;
    let (record, after) = after.split_at_checked(length).ok_or(cut)?;
    if u32::from_le_bytes(*checksum) != crc32c::crc32c(record) {
        return Err("its checksum is another one");
    }
    *rest = after;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{DEEPEST, UnpackError};
    use std::thread;

    #[test]
    fn a_summary_nested_without_end_is_refused_before_it_fills_the_stack() {
        let head = Head {
            session: None,
            raft_id: RaftId(1),
            members: Members::default(),
            first_event: EventIndex(1),
            last_event: EventIndex(0),
            records: 0,
            snapshot_at: 0,
        };
        let body = machine::encode_content(&Content::default()).expect("encodes");
        let read = move |levels| {
            // With one more field: a list in a list in a list.
            let mut head = rmp_serde::to_vec_named(&head).expect("encodes");
            head[0] += 1;
            let head = [head, b"\xa5later".to_vec(), vec![0x91; levels], vec![1]].concat();
            let framed = [&head, &body].map(|record| {
                let (length, sum) = (record.len() as u64, crc32c::crc32c(record));
                [&length.to_le_bytes()[..], &sum.to_le_bytes(), record].concat()
            });
            decode(&[&MAGIC[..], &framed.concat()].concat())
        };
        let check = move || {
            assert!(read(DEEPEST - 1).is_ok());
            for levels in [DEEPEST, 1000] {
                assert_eq!(read(levels), Err(UnpackError::TooDeep.to_string()), "{levels} levels");
            }
        };
        let thread = thread::Builder::new().stack_size(1 << 20).spawn(check).expect("starts");
        thread.join().expect("reads on a small stack");
    }
}
