//! EXO's recorded case of several sources (buffer-09): each is ordered by itself, and a gap in one holds no other back.
//!
//! Translated: EXO's buffer keeps what came too early; here it is not taken, and its sender, who keeps it until it is seen
//! in the log, sends it again after what was missing.

use exo_state::{FactAge, State, apply};
use exo_types::{Event, FactId, IndexedEvent, NodeId, OriginEpoch, OriginSequence};

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

/// A master that takes facts as they come.
#[derive(Default)]
struct Log {
    state: State,
    taken: Vec<&'static str>,
}

impl Log {
    fn take(&mut self, (source, index, name): (&str, u64, &'static str)) {
        let origin = FactId { node_id: node(source), epoch: OriginEpoch(1), sequence: OriginSequence(index + 1) };
        if self.state.origins.age(&origin) == FactAge::Next {
            let idx = self.state.last_event_applied_idx.next();
            let event = Event::NodeTimedOut { node_id: node(name) };
            apply(&mut self.state, &IndexedEvent { idx, origin: Some(origin), event });
            self.taken.push(name);
        }
    }
}

#[test]
fn each_source_is_ordered_by_itself_and_a_gap_holds_no_other_back() {
    let mut log = Log::default();
    for fact in [("A", 0, "a0"), ("B", 1, "b1"), ("A", 1, "a1")] {
        log.take(fact);
    }
    assert_eq!(log.taken, ["a0", "a1"]);
    for fact in [("B", 0, "b0"), ("B", 1, "b1"), ("A", 1, "a1"), ("B", 1, "b1")] {
        log.take(fact);
    }
    assert_eq!(log.taken, ["a0", "a1", "b0", "b1"], "sent again, taken once");
}
