use super::*;
use crate::testing::{appears, created, hardware, indexed, node};
use exo_types::{Accelerator, DEEPEST, Event, EventIndex, NodeHardware, UnknownEvent, UnpackError};
use serde_json::json;

fn event(event: Event) -> IndexedEvent {
    IndexedEvent { idx: EventIndex(1), origin: None, event }
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 1][..], &checksum(kind, 1, payload).to_le_bytes(), payload].concat()
}

#[test]
fn what_is_stored_is_read_again() {
    for event in indexed([appears("a"), hardware("a"), created("i", &["a", "b"])]) {
        let stored = encode_event(&event).expect("encodes");
        assert_eq!(decode_event(&stored), Ok(event));
    }
}

#[test]
fn an_event_of_a_newer_version_is_stored_again_as_it_came() {
    let unknown = UnknownEvent { name: "MoonRose".to_owned(), fields: Some(json!({"when": [1, 2]})) };
    let stored = encode_event(&event(Event::Unknown(unknown))).expect("encodes");
    let read = decode_event(&stored).expect("reads");
    assert_eq!(encode_event(&read).expect("encodes"), stored);
}

#[test]
fn the_deepest_event_is_stored_and_read_again() {
    let deepest = (1..64).fold(json!(1), |inner, _| json!([inner]));
    let event = event(Event::Unknown(UnknownEvent { name: "MoonRose".to_owned(), fields: Some(deepest) }));
    assert_eq!(decode_event(&encode_event(&event).expect("encodes")), Ok(event));
}

#[test]
#[expect(clippy::disallowed_types, reason = "a small stack")]
fn records_nested_without_end_are_refused_before_they_fill_the_stack() {
    // A list in a list in a list, in a field that this version does not know.
    let nested = |levels| [b"\xa5later".to_vec(), vec![0x91; levels], vec![1]].concat();
    let state = move |levels| decode_state(&record(STATE, &[b"\x81".to_vec(), nested(levels)].concat()));
    let told = move |levels| {
        let known = b"\x83\xa3idx\x01\xa5event\xabFactRefused".to_vec();
        decode_event(&record(EVENT, &[known, nested(levels)].concat()))
    };
    let check = move || {
        assert_eq!(state(DEEPEST - 1), Ok(State::default()));
        assert_eq!(told(DEEPEST - 1), Ok(event(Event::FactRefused)));
        let too_deep = CodecError::Payload { message: UnpackError::TooDeep.to_string() };
        for levels in [DEEPEST, 1000, 1 << 20] {
            assert_eq!(state(levels), Err(too_deep.clone()), "{levels} levels");
            assert_eq!(told(levels), Err(too_deep.clone()), "{levels} levels");
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(check).expect("starts");
    thread.join().expect("reads on a small stack");
}

#[test]
fn a_state_of_an_older_version_lacks_fields_and_one_of_a_newer_has_more() {
    let older = json!({"lastEventAppliedIdx": 7, "mood": "sunny"});
    let payload = rmp_serde::to_vec_named(&older).expect("encodes");
    let read = decode_state(&record(STATE, &payload)).expect("reads");
    assert_eq!(read, State { last_event_applied_idx: EventIndex(7), ..State::default() });
}

/// Who knows less of hardware reads what it knows; who knows more has defaults for what was not said.
#[test]
fn hardware_of_older_and_newer_versions_is_read() {
    let told = json!({"idx": 1, "event": {"NodeHardwareChanged": {"nodeId": "a", "hardware": {
        "accelerators": [{"name": "card", "tensorCores": 7}],
        "sound": "loud",
    }}}});
    let payload = rmp_serde::to_vec_named(&told).expect("encodes");
    let hardware = NodeHardware {
        accelerators: vec![Accelerator { name: "card".to_owned(), ..Accelerator::default() }],
        ..NodeHardware::default()
    };
    let expect = Event::NodeHardwareChanged { node_id: node("a"), hardware };
    assert_eq!(decode_event(&record(EVENT, &payload)), Ok(event(expect)));
}

#[test]
fn damage_anywhere_is_noticed() {
    let stored = encode_event(&event(appears("a"))).expect("encodes");
    for at in 0..stored.len() {
        for bit in 0..8 {
            let mut damaged = stored.clone();
            damaged[at] ^= 1 << bit;
            assert!(decode_event(&damaged).is_err(), "byte {at}, bit {bit}");
        }
        assert!(decode_event(&stored[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    let stored = encode_event(&event(appears("a"))).expect("encodes");
    assert_eq!(decode_event(&stored[..3]), Err(CodecError::TooShort { length: 3 }));
    assert_eq!(decode_state(&stored), Err(CodecError::Kind { found: 'E', expected: 'S' }));
    let mut newer = stored;
    newer[1] = 2;
    assert_eq!(decode_event(&newer), Err(CodecError::Newer { found: 2 }));
}
