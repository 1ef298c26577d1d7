//! Cases recorded from EXO's buffers and its catching up, as far as this design keeps them.
//!
//! Translated: an event is a node that tells its name, so that one can see which of two with the same index was taken; the
//! session is opened by an event of its own, so that index 0 there is index 2 here; a gap is asked for after 50 ms, there
//! after 500. With the opposite expectation: nack-06 (a duplicate made EXO ask), nack-07 (joining late replayed the whole
//! history; here one State comes). Elsewhere: buffer-09 (facts of several sources: `exo-state/tests/exo_sources.rs`),
//! evlog-05 (the archive is bounded: `exo-master/src/layout.rs`), evlog-04 the other way round (a log that is opened again
//! has its events: the tests of `exo-log`).

use exo_node::{Follower, SnapshotParts};
use exo_state::{State, apply};
use exo_types::{
    Candidate, CpuInfo, Event, EventIndex, EventLogPage, GlobalEvents, IndexedEvent, MasterPresence, Millis, NodeId,
    NodeInfo, SessionId,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What stands before EXO's first event.
const BEFORE: u64 = 2;
/// As long as the recorded cases waited for requests.
const WAIT: Duration = Duration::from_millis(900);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn session() -> SessionId {
    SessionId { generation: 1, master_node_id: node("m") }
}

fn opened() -> IndexedEvent {
    let event = Event::SessionOpened { session: session(), when: Millis(0) };
    IndexedEvent { idx: EventIndex(1), origin: None, event }
}

fn named(index: u64, name: &str) -> IndexedEvent {
    let info = NodeInfo {
        friendly_name: name.to_owned(),
        version: String::new(),
        os: String::new(),
        cpu: CpuInfo::default(),
        addresses: Vec::new(),
        api_port: None,
    };
    let event = Event::NodeGatheredInfo { node_id: node(name), info };
    IndexedEvent { idx: EventIndex(index + BEFORE), origin: None, event }
}

fn publish(follower: &mut Follower, now: Instant, event: IndexedEvent) {
    follower.on_events(now, GlobalEvents { session: session(), events: vec![event] });
}

fn name_of(event: &IndexedEvent) -> Option<String> {
    match &event.event {
        Event::NodeGatheredInfo { node_id, .. } => Some(node_id.to_string()),
        _ => None,
    }
}

/// A follower that found the master "m".
fn joined(now: Instant) -> Follower {
    let mut follower = Follower::default();
    let candidate = Candidate { session: session(), seniority: 0, commands_seen: 0 };
    follower.on_master(now, node("m"), MasterPresence::leading(candidate));
    follower
}

/// What it asks for until then, without an answer.
fn asked(follower: &mut Follower, until: Instant) -> Vec<u64> {
    let mut asked = Vec::new();
    while let Some(due) = follower.poll_timeout().filter(|due| *due <= until) {
        let fetch = follower.poll_fetch(due).expect("it is due");
        asked.push(fetch.request.since.0 - BEFORE);
    }
    asked
}

#[test]
fn buffers_and_requests_agree_with_exo_where_the_design_does() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/exo-follower.json")).expect("cases");
    for case in cases {
        let now = Instant::now();
        let mut follower = joined(now);
        follower.poll_fetch(now).expect("asks for the log");
        let empty = EventLogPage::empty(session(), EventIndex(1));
        follower.on_page(now, EventLogPage { events: vec![opened()], ..empty }).expect("of use");
        follower.take_folded();
        let mut released = Vec::new();
        for op in case["ops"].as_array().expect("a list") {
            match op[0].as_str() {
                Some("event") => {
                    let (index, name) = (op[1].as_u64().expect("an index"), op[2].as_str().expect("a name"));
                    publish(&mut follower, now, named(index, name));
                }
                Some("drain") => {
                    released.push(follower.take_folded().iter().filter_map(name_of).collect::<Vec<_>>());
                }
                _ => {}
            }
        }
        let applied = follower.take_change().expect("news").state.last_event_applied_idx;
        let asked = asked(&mut follower, now + WAIT);
        let (title, expect) = (&case["title"], &case["expect"]);
        assert_eq!(json!(released), expect["released"], "{title}");
        assert_eq!(applied.0 + 1 - BEFORE, expect["next"], "{title}");
        if let Some(expected) = expect.get("asked") {
            assert_eq!(&json!(asked), expected, "{title}");
        }
    }
}

/// nack-07, the other way round.
#[test]
fn joining_late_takes_one_state_and_not_the_whole_history() {
    let now = Instant::now();
    let mut master = State::default();
    apply(&mut master, &opened());
    for index in 0..500 {
        apply(&mut master, &named(index, &format!("n{index}")));
    }
    let mut follower = joined(now);
    publish(&mut follower, now, named(500, "late"));
    let fetch = follower.poll_fetch(now).expect("asks at once");
    let page = SnapshotParts::default().page(&session(), &master, fetch.request.part).expect("encodes");
    follower.on_page(now, page).expect("of use");
    let state = follower.take_change().expect("news").state;
    assert_eq!(state.last_event_applied_idx, EventIndex(500 + BEFORE));
    assert!(state.topology.nodes.contains(&node("late")));
    assert_eq!(asked(&mut follower, now + WAIT), [0; 0]);
}
