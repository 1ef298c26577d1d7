//! Lists and maps inside each other without end: what peers send and what files hold is refused before it fills the
//! stack, and the deepest event that the log takes is read again.

use crate::batch::{Batch, DraftEvent, EncodedPart, Part};
use crate::disk::{Disk, FaultyDisk, SmallFile};
use crate::members_file::MembersFile;
use crate::raft_types::{Entry, LogId};
use crate::store::record;
use crate::wire::{Letter, Refused, Request, SessionTag, VoteAnswer, decode_answer, encode_answer};
use exo_types::{DEEPEST, Event, EventIndex, NodeId, SessionId, UnpackError, unpack};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft::{CommittedLeaderId, EntryPayload};
use serde::Serialize;
use std::sync::Arc;
use std::thread;

/// Smaller than the stack of any thread of ours.
const STACK: usize = 1 << 20;

/// Lists that are read inside two maps or lists, and more than are read anywhere.
const READ: usize = DEEPEST - 2;
const TOO_DEEP: [usize; 2] = [DEEPEST, 1000];

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(STACK).spawn(test).expect("starts");
    thread.join().expect("reads on a small stack");
}

/// The value with one more field: a list in a list in a list.
fn nested(value: &impl Serialize, levels: usize) -> Vec<u8> {
    let mut bytes = rmp_serde::to_vec_named(value).expect("encodes");
    bytes[0] += 1;
    [bytes, b"\xa5later".to_vec(), vec![0x91; levels], vec![1]].concat()
}

/// As deep as an event may be, with the map of its name.
fn deepest_event() -> Event {
    let event = [b"\x81\xa4Rose".to_vec(), vec![0x91; 63], vec![1]].concat();
    unpack(&event).expect("an event of a newer version")
}

fn session() -> SessionId {
    SessionId { generation: 3, master_node_id: NodeId::new("m").expect("a good id") }
}

fn letter(request: Request) -> Letter {
    Letter { session: SessionTag::of(&session()), from: 11, to: 12, request }
}

/// The message with another body.
fn with_body(message: &[u8], at: usize, body: &[u8]) -> Vec<u8> {
    let mut message = [&message[..at], body].concat();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&message[..4]), &message[8..]);
    message[4..8].copy_from_slice(&sum.to_le_bytes());
    message
}

#[test]
fn what_peers_ask_and_answer() {
    let ask = VoteRequest::new(openraft::Vote::new(4, 11), None);
    let request = letter(Request::Vote(ask.clone())).encode().expect("encodes");
    let answer = VoteAnswer { vote: ask.vote, vote_granted: true, last_log_id: None };
    let reply = encode_answer(&answer);
    on_a_small_stack(move || {
        let asked = |levels| Letter::decode(&with_body(&request, 32, &nested(&ask, levels))).map(|letter| letter.to);
        let answered = |levels| decode_answer::<VoteAnswer>(&with_body(&reply, 8, &nested(&answer, levels)));
        assert_eq!((asked(READ), answered(READ).is_ok()), (Ok(12), true));
        for levels in TOO_DEEP {
            assert_eq!(asked(levels), Err(Refused::Garbage), "{levels} levels");
            assert_eq!(answered(levels), Err(Refused::Garbage), "{levels} levels");
        }
    });
}

#[test]
fn appends() {
    on_a_small_stack(|| {
        let read = |levels| {
            let parts = [vec![0x91], nested(&Part { base: None, events: Vec::new() }, levels)].concat();
            let length = u16::try_from(parts.len()).expect("short").to_be_bytes();
            unpack::<Batch>(&[&[0xc5], &length[..], &parts].concat()).map(|batch| batch.parts().len())
        };
        assert_eq!(read(READ).expect("readable"), 1);
        for levels in TOO_DEEP {
            let error = read(levels).expect_err("too deep").to_string();
            assert_eq!(error, UnpackError::TooDeep.to_string(), "{levels} levels");
        }
    });
}

#[test]
fn records() {
    on_a_small_stack(|| {
        let read = |levels| {
            let bytes = record::frame(record::META, b"key", &nested(&session(), levels));
            record::decode::<SessionId>(record::META, b"key", || "it".to_owned(), &bytes)
        };
        assert_eq!(read(READ), Ok(session()));
        for levels in TOO_DEEP {
            let error = read(levels).expect_err("too deep");
            assert!(matches!(error, record::RecordError::Payload { .. }), "{levels} levels: {error}");
        }
    });
}

#[test]
fn the_file_of_the_members() {
    on_a_small_stack(|| {
        let file = MembersFile { session: Some(session()), ..MembersFile::default() };
        let read = |levels| {
            let disk = FaultyDisk::new(1);
            let payload = nested(&file, levels);
            let bytes = [b"exomemb1".as_slice(), &crc32c::crc32c(&payload).to_le_bytes(), &payload].concat();
            disk.write_small(SmallFile::Members, &bytes).expect("writes");
            MembersFile::read(&disk).expect("reads")
        };
        assert_eq!(read(READ).as_ref(), Some(&file));
        for levels in TOO_DEEP {
            assert_eq!(read(levels), None, "{levels} levels");
        }
    });
}

#[test]
fn the_deepest_event_comes_back_from_peers_and_disks() {
    let part = Part { base: Some(EventIndex(1)), events: vec![DraftEvent::from(deepest_event())] };
    let batch = Arc::new(Batch::new(1, vec![EncodedPart::new(part).expect("encodes")]));
    let log_id = LogId::new(CommittedLeaderId::new(3, 0), 7);
    let entry = Entry { log_id, payload: EntryPayload::Normal(batch) };
    let append = AppendEntriesRequest {
        vote: openraft::Vote::new_committed(3, 11),
        prev_log_id: None,
        entries: vec![entry.clone()],
        leader_commit: None,
    };
    let sent = letter(Request::Append(append)).encode().expect("encodes");
    let Ok(Letter { request: Request::Append(read), .. }) = Letter::decode(&sent) else { panic!("unreadable") };
    assert_eq!(read.entries, std::slice::from_ref(&entry));
    let stored = record::encode(record::ENTRY, b"7", &entry).expect("encodes");
    assert_eq!(record::decode(record::ENTRY, b"7", || "it".to_owned(), &stored), Ok(entry));
}
