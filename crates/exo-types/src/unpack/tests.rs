use super::*;
use crate::{
    Event, EventIndex, EventLogPage, GlobalEvents, IndexedEvent, LocalForwarderEvent, NodeId, OriginEpoch,
    OriginSequence, SessionId, UnknownEvent,
};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::panic::resume_unwind;

/// Smaller than the stack of any thread of ours.
const STACK: usize = 1 << 20;

#[expect(clippy::disallowed_types, reason = "a small stack")]
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(test).expect("starts");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

/// A list in a list in a list.
fn lists(levels: usize) -> Vec<u8> {
    [vec![0x91; levels], vec![1]].concat()
}

/// A map in a map in a map.
fn maps(levels: usize) -> Vec<u8> {
    [[0x81, 0xa1, b'a'].repeat(levels), vec![1]].concat()
}

#[test]
fn lists_and_maps_are_read_to_the_limit_and_no_deeper_on_a_small_stack() {
    on_a_small_stack(|| {
        for nested in [lists, maps] {
            assert!(unpack::<IgnoredAny>(&nested(DEEPEST)).is_ok());
            for levels in [DEEPEST + 1, 1000, 1 << 20] {
                assert!(matches!(unpack::<IgnoredAny>(&nested(levels)), Err(UnpackError::TooDeep)), "{levels} levels");
            }
        }
    });
}

#[test]
fn what_is_cut_off_or_something_else_is_told_apart_from_what_is_too_deep() {
    for wrong in [&[][..], &[0xc1], &[0x92, 1], &[0xa1, b'x']] {
        assert!(matches!(unpack::<Vec<u8>>(wrong), Err(UnpackError::Unreadable(_))), "{wrong:?}");
    }
    assert_eq!(unpack::<Vec<u8>>(&[0x91, 7, 0xc1]).expect("one value"), [7]);
}

#[test]
fn the_deepest_event_is_read_in_everything_that_carries_events() {
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(told: &T) {
        let bytes = rmp_serde::to_vec_named(told).expect("encodes");
        assert_eq!(unpack::<T>(&bytes).expect("readable"), *told);
    }
    // With the map of its name.
    let fields = (1..DEEPEST_EVENT).fold(Value::Null, |inner, _| json!([inner]));
    let event = Event::Unknown(UnknownEvent { name: "MoonRose".to_owned(), fields: Some(fields) });
    let session = SessionId { generation: 1, master_node_id: NodeId::new("m").expect("a good id") };
    let indexed = IndexedEvent { idx: EventIndex(1), origin: None, event: event.clone() };
    check(&event);
    check(&indexed);
    check(&GlobalEvents { session: session.clone(), events: vec![indexed.clone()] });
    let page = EventLogPage::empty(session.clone(), EventIndex(1));
    check(&EventLogPage { events: vec![indexed], ..page });
    let origin = NodeId::new("a").expect("a good id");
    let (origin_epoch, sequence) = (OriginEpoch(1), OriginSequence(1));
    check(&LocalForwarderEvent { origin, origin_epoch, sequence, session, event });
}
