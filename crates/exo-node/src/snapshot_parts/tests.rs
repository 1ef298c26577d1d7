use super::*;
use crate::Follower;
use exo_state::apply;
use exo_types::{Candidate, Event, IndexedEvent, MasterPresence, Millis, NodeId, NodeInfo};
use std::time::Instant;

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn session() -> SessionId {
    SessionId { generation: 1, master_node_id: node("m") }
}

/// A State of that many nodes, at that index.
fn state(nodes: u32, index: u64) -> State {
    let mut state = State::default();
    let mut events = vec![Event::SessionOpened { session: session(), when: Millis(1) }];
    events.extend((0..nodes).map(|n| {
        let info = NodeInfo {
            friendly_name: format!("node-{n}"),
            version: "0.1.0".to_owned(),
            os: "x".repeat(200),
            cpu: exo_types::CpuInfo::default(),
            addresses: (0..4).map(|address| format!("10.{address}.{}.{}", n / 256, n % 256)).collect(),
            api_port: Some(52415),
        };
        Event::NodeGatheredInfo { node_id: node(&format!("node-{n}")), info }
    }));
    for (idx, event) in (1..).zip(events) {
        apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
    }
    state.last_event_applied_idx = EventIndex(index);
    state
}

/// A follower that is served by parts until it has the State; how many it took.
fn follow(parts: &mut SnapshotParts, state: &State) -> (Follower, usize) {
    let now = Instant::now();
    let mut follower = Follower::default();
    let candidate = Candidate { session: session(), seniority: 0, commands_seen: 0 };
    follower.on_master(now, node("m"), MasterPresence::leading(candidate));
    let mut pages = 0;
    while let Some(fetch) = follower.poll_fetch(now) {
        pages += 1;
        let page = parts.page(&session(), state, fetch.request.part).expect("encodes");
        let size = page.snapshot.as_ref().map_or(0, |part| part.bytes.0.0.len());
        assert!(size <= PART);
        follower.on_page(now, page).expect("of use");
    }
    (follower, pages)
}

#[test]
fn a_large_state_comes_in_parts_and_is_the_same_at_the_other_end() {
    let state = state(6000, 1_000_000);
    let size = encode_state(&state).expect("encodes").len();
    assert!(size > 2 * PART, "{size}");
    let mut parts = SnapshotParts::default();
    let (mut follower, pages) = follow(&mut parts, &state);
    assert_eq!(pages, size.div_ceil(PART));
    assert_eq!(*follower.take_change().expect("news").state, state);
}

#[test]
fn a_node_that_joins_after_a_million_events_is_current_within_a_second() {
    let state = state(256, 1_000_000);
    let begin = Instant::now();
    let (mut follower, pages) = follow(&mut SnapshotParts::default(), &state);
    let elapsed = begin.elapsed();
    assert_eq!(pages, 1, "as many messages as after ten events");
    assert_eq!(follower.take_change().expect("news").state.last_event_applied_idx, EventIndex(1_000_000));
    assert!(elapsed.as_secs_f64() < 1.0, "{elapsed:?}");
}

#[test]
fn a_snapshot_travels_as_bytes_and_not_as_numbers() {
    let page = SnapshotParts::default().page(&session(), &state(256, 1000), None).expect("encodes");
    let size = page.snapshot.as_ref().map_or(0, |part| part.bytes.0.0.len());
    let sent = rmp_serde::to_vec_named(&page).expect("encodes").len();
    assert!(sent < size + 200, "{sent} bytes for {size}");
}

#[test]
fn all_parts_are_of_one_state_however_the_log_moves_on() {
    let (first, later, much_later) = (state(6000, 1000), state(6000, 1400), state(6000, 9000));
    let mut parts = SnapshotParts::default();
    let begun = parts.page(&session(), &first, None).expect("encodes").snapshot.expect("a part");
    let mark = SnapshotMark { index: begun.index, offset: begun.bytes.0.0.len() as u64 };
    let next = |parts: &mut SnapshotParts, state: &State, mark| {
        let part = parts.page(&session(), state, mark).expect("encodes").snapshot.expect("a part");
        (part.index.0, part.offset)
    };
    assert_eq!(next(&mut parts, &much_later, Some(mark)), (1000, mark.offset), "what was begun goes on");
    assert_eq!(next(&mut parts, &later, None), (1000, 0), "and is good for newcomers while it is not old");
    assert_eq!(next(&mut parts, &much_later, None), (9000, 0));
    assert_eq!(next(&mut parts, &much_later, Some(mark)), (9000, 0), "what is not kept begins anew");
}
