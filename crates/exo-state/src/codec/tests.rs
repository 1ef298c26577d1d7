use super::*;
use crate::testing::{appears, created, hardware, indexed, node};
use exo_types::{Accelerator, Event, EventIndex, NodeHardware, UnknownEvent};
use serde_json::json;

fn event(event: Event) -> IndexedEvent {
    IndexedEvent { idx: EventIndex(1), origin: None, event }
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
fn a_state_of_an_older_version_lacks_fields_and_one_of_a_newer_has_more() {
    let older = json!({"lastEventAppliedIdx": 7, "mood": "sunny"});
    let payload = rmp_serde::to_vec_named(&older).expect("encodes");
    let mut stored = vec![STATE, 1];
    stored.extend(checksum(STATE, 1, &payload).to_le_bytes());
    stored.extend(payload);
    let read = decode_state(&stored).expect("reads");
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
    let mut stored = vec![EVENT, 1];
    stored.extend(checksum(EVENT, 1, &payload).to_le_bytes());
    stored.extend(payload);
    let hardware = NodeHardware {
        accelerators: vec![Accelerator { name: "card".to_owned(), ..Accelerator::default() }],
        ..NodeHardware::default()
    };
    let expect = Event::NodeHardwareChanged { node_id: node("a"), hardware };
    assert_eq!(decode_event(&stored), Ok(event(expect)));
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
