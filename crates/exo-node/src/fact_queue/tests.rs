use super::*;
use exo_types::{EventIndex, FactId, IndexedEvent, Memory, NodeResources};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn epoch() -> OriginEpoch {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    OriginEpoch(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

/// A fact about the thing `name`.
fn fact(name: &str, free: u64) -> Event {
    let resources = NodeResources { ram_total: Memory::mib(99), ram_available: Memory::mib(free) };
    Event::NodeResourcesChanged { node_id: node(name), resources }
}

/// A master that writes down what it is told.
struct Master {
    view: View,
}

impl Master {
    fn new(generation: u64) -> Self {
        let session = Some(SessionId { generation, master_node_id: node("m") });
        Self { view: View { session, leader: Some(node("m")), ..View::default() } }
    }

    fn hear(&mut self, told: &Outgoing) {
        let state = Arc::make_mut(&mut self.view.state);
        let origin = FactId { node_id: told.origin.clone(), epoch: told.origin_epoch, sequence: told.sequence };
        let idx = EventIndex(state.last_event_applied_idx.0 + 1);
        exo_state::apply(state, &IndexedEvent { idx, origin: Some(origin), event: told.event.clone() });
    }
}

fn drain(queue: &mut FactQueue, now: Instant) -> Vec<Outgoing> {
    std::iter::from_fn(|| queue.poll_outgoing(now)).collect()
}

fn sequences(told: &[Outgoing]) -> Vec<u64> {
    told.iter().map(|fact| fact.sequence.0).collect()
}

fn queue(now: Instant, master: &Master) -> FactQueue {
    let mut queue = FactQueue::new(node("a"), epoch);
    queue.on_view(now, &master.view);
    queue
}

#[test]
fn facts_leave_in_order_and_end_when_they_are_seen() {
    let now = Instant::now();
    let mut master = Master::new(1);
    let mut queue = queue(now, &master);
    for name in ["x", "y", "z"] {
        queue.report(fact(name, 1));
    }
    let told = drain(&mut queue, now);
    assert_eq!(sequences(&told), [1, 2, 3]);
    told.iter().for_each(|fact| master.hear(fact));
    queue.on_view(now, &master.view);
    assert!(queue.is_empty());
    assert_eq!(queue.poll_timeout(), None);
}

#[test]
fn what_is_not_seen_is_sent_again_less_and_less_often() {
    let mut now = Instant::now();
    let master = Master::new(1);
    let mut queue = queue(now, &master);
    queue.report(fact("x", 1));
    queue.report(fact("y", 1));
    let mut waits = Vec::new();
    for _ in 0..7 {
        assert_eq!(sequences(&drain(&mut queue, now)), [1, 2]);
        let due = queue.poll_timeout().expect("not seen");
        waits.push(due.duration_since(now).as_millis());
        now = due;
    }
    assert_eq!(waits, [300, 600, 1200, 2400, 4800, 5000, 5000]);
}

#[test]
fn what_was_lost_in_the_middle_comes_again_with_all_behind_it() {
    let now = Instant::now();
    let mut master = Master::new(1);
    let mut queue = queue(now, &master);
    for name in ["x", "y", "z"] {
        queue.report(fact(name, 1));
    }
    let told = drain(&mut queue, now);
    master.hear(&told[0]);
    queue.on_view(now, &master.view);
    let due = queue.poll_timeout().expect("not seen");
    assert_eq!(sequences(&drain(&mut queue, due)), [2, 3]);
}

#[test]
fn of_facts_about_the_same_thing_only_the_last_waits() {
    let now = Instant::now();
    let master = Master::new(1);
    let mut queue = FactQueue::new(node("a"), epoch);
    for free in 1..100 {
        queue.report(fact("x", free));
    }
    assert_eq!(queue.len(), 1, "without a master the queue does not grow");
    queue.on_view(now, &master.view);
    let told = drain(&mut queue, now);
    assert_eq!(told.iter().map(|fact| &fact.event).collect::<Vec<_>>(), [&fact("x", 99)]);
    queue.report(fact("x", 99));
    assert_eq!(queue.len(), 1, "it is on its way");
    queue.report(fact("x", 5));
    assert_eq!(queue.len(), 2, "what has left is not changed any more");
    assert_eq!(sequences(&drain(&mut queue, now)), [2]);
}

#[test]
fn nothing_leaves_without_a_master_and_all_of_it_when_it_is_back() {
    let now = Instant::now();
    let mut master = Master::new(1);
    let mut queue = queue(now, &master);
    queue.report(fact("x", 1));
    assert_eq!(drain(&mut queue, now).len(), 1);
    master.view.leader = None;
    queue.on_view(now, &master.view);
    queue.report(fact("y", 1));
    assert_eq!((drain(&mut queue, now).len(), queue.poll_timeout()), (0, None));
    master.view.leader = Some(node("m"));
    queue.on_view(now, &master.view);
    assert_eq!(sequences(&drain(&mut queue, now)), [1, 2]);
}

#[test]
fn a_new_session_is_told_everything_under_a_new_life() {
    let now = Instant::now();
    let mut old = Master::new(1);
    let mut queue = queue(now, &old);
    queue.report(fact("x", 1));
    let seen = drain(&mut queue, now);
    old.hear(&seen[0]);
    queue.on_view(now, &old.view);
    queue.report(fact("y", 1));
    drain(&mut queue, now);
    let new = Master::new(2);
    queue.on_view(now, &new.view);
    let told = drain(&mut queue, now);
    assert_eq!(told.iter().map(|fact| (&fact.event, fact.sequence.0)).collect::<Vec<_>>(), [(&fact("y", 1), 1)]);
    assert!(told[0].origin_epoch != seen[0].origin_epoch);
    assert_eq!(Some(&told[0].session), new.view.session.as_ref());
}

#[test]
fn no_more_than_a_window_is_under_way() {
    let now = Instant::now();
    let mut master = Master::new(1);
    let mut queue = queue(now, &master);
    for n in 0..WINDOW + 10 {
        queue.report(fact(&format!("n{n}"), 1));
    }
    let told = drain(&mut queue, now);
    assert_eq!(told.len(), WINDOW);
    told.iter().for_each(|fact| master.hear(fact));
    queue.on_view(now, &master.view);
    assert_eq!(drain(&mut queue, now).len(), 10);
}
