use super::*;
use exo_types::{DEEPEST, Event, EventIndex, GlobalEvents, IndexedEvent, SessionId, UnpackError};
use proptest::prelude::*;
use std::thread;

fn header(kind: Kind) -> Header {
    let from = NodeId::new("node/a").expect("a good id");
    Header { kind, process: ProcessId(0x0102_0304), stream: 7, sequence: 9, from }
}

fn written() -> Vec<u8> {
    Bytes::from(Draft::new("t", &header(Kind::Message), &("x", 5_u32)).expect("small")).to_vec()
}

#[test]
fn every_kind_comes_back_as_it_was() {
    for kind in KINDS {
        let bytes = Draft::new("t", &header(kind), &vec![1_u8, 2]).expect("small").number(9);
        let envelope = Envelope::parse(bytes).expect("just written");
        assert_eq!(envelope.header, header(kind));
        assert_eq!(envelope.decode::<Vec<u8>>().expect("just written"), [1, 2]);
    }
}

#[test]
fn fields_unknown_to_the_reader_are_skipped() {
    #[derive(serde::Serialize)]
    struct Newer {
        kept: u8,
        added: &'static str,
    }
    #[derive(serde::Deserialize)]
    struct Older {
        kept: u8,
    }
    let bytes = Draft::new("t", &header(Kind::Message), &Newer { kept: 3, added: "later" }).expect("small").into();
    let older: Older = Envelope::parse(bytes).expect("just written").decode().expect("readable");
    assert_eq!(older.kept, 3);
}

#[test]
fn a_newer_version_says_so() {
    let mut bytes = written();
    bytes[0] = VERSION + 1;
    assert_eq!(Envelope::parse(bytes.into()).expect_err("newer"), EnvelopeError::Newer { version: VERSION + 1 });
}

#[test]
fn every_truncation_is_an_error_and_none_a_panic() {
    let bytes = written();
    for length in 0..bytes.len() {
        let cut = Bytes::copy_from_slice(&bytes[..length]);
        let read = Envelope::parse(cut).and_then(|envelope| envelope.decode::<(String, u32)>());
        assert!(read.is_err(), "{length} of {}", bytes.len());
    }
}

#[test]
fn a_body_nested_without_end_is_refused() {
    #[derive(Debug, serde::Deserialize)]
    struct Nest(#[expect(dead_code, reason = "only its reading is of interest")] Vec<Nest>);
    #[derive(Debug, serde::Deserialize)]
    struct Older {}
    let too_deep = EnvelopeError::Body { reason: UnpackError::TooDeep.to_string() };
    let skipped = |levels| decode_body::<Older>(&[b"\x81\xa5later".to_vec(), vec![0x91; levels], vec![1]].concat());
    let check = move || {
        assert_eq!(decode_body::<Nest>(&vec![0x91; 1 << 20]).expect_err("too deep"), too_deep);
        assert!(skipped(DEEPEST - 1).is_ok());
        for levels in [DEEPEST, 1000] {
            assert_eq!(skipped(levels).expect_err("too deep"), too_deep, "{levels} levels");
        }
    };
    let thread = thread::Builder::new().stack_size(1 << 20).spawn(check).expect("starts");
    thread.join().expect("reads on a small stack");
}

/// What a master took in it must be able to tell everybody.
#[test]
fn the_deepest_event_is_read_among_others() {
    // A list in a list in a list, 64 levels with the map of its name.
    let event = [b"\x81\xa4Rose".to_vec(), vec![0x91; 63], vec![1]].concat();
    let event: Event = unpack(&event).expect("an event of a newer version");
    let session = SessionId { generation: 1, master_node_id: NodeId::new("m").expect("a good id") };
    let events = GlobalEvents { session, events: vec![IndexedEvent { idx: EventIndex(1), origin: None, event }] };
    let sent = Draft::new("t", &header(Kind::Message), &events).expect("small").into();
    let read: GlobalEvents = Envelope::parse(sent).expect("just written").decode().expect("readable");
    assert_eq!(read, events);
}

#[test]
fn a_message_over_the_limit_does_not_leave() {
    let Err(PublishError::TooLarge { name: "t", size, .. }) =
        Draft::new("t", &header(Kind::Message), &"x".repeat(MESSAGE_LIMIT)).map(|_| ())
    else {
        panic!("should be too large");
    };
    assert!(size > MESSAGE_LIMIT);
}

proptest! {
    #[test]
    fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(envelope) = Envelope::parse(bytes.into()) {
            let _ = envelope.decode::<Vec<(String, u32)>>();
        }
    }
}
