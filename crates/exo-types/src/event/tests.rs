use crate::{Event, EventIndex, GlobalEvents, IndexedEvent, NodeId, SessionId, UnknownEvent, unpack};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn through_rmp<T: Serialize, U: DeserializeOwned>(value: &T) -> U {
    let bytes = rmp_serde::to_vec_named(value).expect("encodes");
    unpack(&bytes).expect("decodes")
}

/// Reads `input` from JSON and from MessagePack, expects `expect`, and expects `input` again when it is written.
fn check(input: &Value, expect: &Event) {
    let from_json: Event = serde_json::from_value(input.clone()).expect("reads JSON");
    let from_rmp: Event = through_rmp(input);
    assert_eq!((&from_json, &from_rmp), (expect, expect), "{input}");
    assert_eq!(&serde_json::to_value(expect).expect("writes JSON"), input);
    let again: Value = through_rmp(expect);
    assert_eq!(&again, input);
}

fn unknown(name: &str, fields: Option<Value>) -> Event {
    Event::Unknown(UnknownEvent { name: name.to_owned(), fields })
}

#[test]
fn events_of_a_newer_version_are_kept_as_they_came() {
    let fields = json!({"x": [1, -2, 3.5, null, "y"], "big": u64::MAX});
    let new_status = json!({"runnerId": "r", "runnerStatus": {"RunnerDreaming": {"depth": 3}}});
    for (input, expect) in [
        (json!({"MoonRose": fields}), unknown("MoonRose", Some(fields.clone()))),
        (json!("SunSet"), unknown("SunSet", None)),
        (json!({"Nothing": null}), unknown("Nothing", Some(Value::Null))),
        (json!({"RunnerStatusUpdated": new_status}), unknown("RunnerStatusUpdated", Some(new_status.clone()))),
        (json!({"NodeTimedOut": {"nodeId": "a"}}), Event::NodeTimedOut { node_id: node("a") }),
    ] {
        check(&input, &expect);
    }
}

#[test]
fn an_unknown_event_survives_inside_its_envelopes() {
    let input = json!({
        "session": {"generation": 1, "masterNodeId": "m"},
        "events": [{"idx": 7, "event": {"MoonRose": {"when": 5}}}],
    });
    let event = unknown("MoonRose", Some(json!({"when": 5})));
    let expect = GlobalEvents {
        session: SessionId { generation: 1, master_node_id: node("m") },
        events: vec![IndexedEvent { idx: EventIndex(7), origin: None, event }],
    };
    let from_rmp: GlobalEvents = through_rmp(&input);
    assert_eq!(from_rmp, expect);
    assert_eq!(serde_json::to_value(&from_rmp).expect("writes"), input);
    let twice: GlobalEvents = through_rmp(&from_rmp);
    assert_eq!(twice, expect);
}

#[test]
fn fields_of_a_newer_version_are_tolerated() {
    let input = json!({"idx": 1, "colour": "red", "event": {"NodeTimedOut": {"nodeId": "a", "why": "storm"}}});
    let expect = IndexedEvent { idx: EventIndex(1), origin: None, event: Event::NodeTimedOut { node_id: node("a") } };
    assert_eq!(serde_json::from_value::<IndexedEvent>(input.clone()).expect("reads"), expect);
    assert_eq!(through_rmp::<_, IndexedEvent>(&input), expect);
}

#[test]
fn what_is_no_event_at_all_is_refused() {
    for input in [json!(5), json!([]), json!({}), json!({"A": 1, "B": 2})] {
        assert!(serde_json::from_value::<Event>(input.clone()).is_err(), "{input}");
    }
}

#[test]
fn lists_and_maps_without_end_are_refused_before_they_fill_the_stack() {
    let nested = |levels: usize| {
        let inner =
            (1..levels).fold(json!(1), |inner, at| if at % 2 == 0 { json!([inner]) } else { json!({"a": inner}) });
        json!({ "MoonRose": inner })
    };
    check(&nested(64), &unknown("MoonRose", Some(nested(64)["MoonRose"].clone())));
    for levels in [65, 500] {
        let unreadable = unknown("MoonRose", Some(nested(levels)["MoonRose"].clone()));
        assert!(rmp_serde::to_vec_named(&unreadable).is_err(), "{levels} levels are written");
        let bytes = rmp_serde::to_vec_named(&nested(levels)).expect("encodes");
        let error = unpack::<Event>(&bytes).expect_err("too deep").to_string();
        assert!(error.contains("more than 64 lists and maps"), "{error}");
        let error = serde_json::from_value::<Event>(nested(levels)).expect_err("too deep").to_string();
        assert!(error.contains("more than 64 lists and maps"), "{error}");
    }
}
