//! Failures that EXO had in public and that a fold can have. The list: docs/failures.md.

use crate::testing::{appears, created, indexed, instance, node, runner, session};
use crate::{Applied, State, apply, check_invariants};
use exo_types::{
    Event, EventIndex, FactId, IndexedEvent, InstanceId, Millis, OriginEpoch, OriginSequence, RunnerStatus,
};

fn history() -> Vec<IndexedEvent> {
    let instance_id = InstanceId::new("i").expect("a good id");
    indexed([
        Event::SessionOpened { session: session(), when: Millis(1) },
        appears("a"),
        created("i", &["a"]),
        Event::RunnerStatusUpdated {
            runner_id: runner("i-0"),
            runner_status: RunnerStatus::RunnerReady { incarnation: 1 },
        },
        Event::InstanceDeleted { instance_id },
    ])
}

fn folded(events: &[IndexedEvent]) -> State {
    let mut state = State::default();
    for event in events {
        apply(&mut state, event);
    }
    state
}

/// exo#2059: who came back was sent the log again, and deleted instances rose from it.
#[test]
fn issue_2059_a_log_that_comes_again_revives_nothing() {
    let events = history();
    let mut state = folded(&events);
    let before = state.clone();
    for event in events.iter().chain(events.iter().rev()) {
        assert!(matches!(apply(&mut state, event), Applied::OutOfOrder { .. }), "{event:?}");
        assert_eq!(state, before);
    }
}

/// The same with the facts behind the events: a worker tells what it has not seen in the log, also long after.
#[test]
fn issue_2059_facts_that_come_late_or_again_revive_nothing() {
    let mut state = folded(&history());
    let late = Event::RunnerStatusUpdated {
        runner_id: runner("i-0"),
        runner_status: RunnerStatus::RunnerReady { incarnation: 1 },
    };
    let fact = FactId { node_id: node("a"), epoch: OriginEpoch(1), sequence: OriginSequence(1) };
    for _ in 0..2 {
        let idx = EventIndex(state.last_event_applied_idx.0 + 1);
        apply(&mut state, &IndexedEvent { idx, origin: Some(fact.clone()), event: late.clone() });
        assert!(state.instances.is_empty() && state.runners.is_empty(), "{state:?}");
    }
    check_invariants(&state).expect("invariants hold");
    // A new placement of the same model is a new instance; what is told of the old one does not touch it.
    let idx = EventIndex(state.last_event_applied_idx.0 + 1);
    apply(
        &mut state,
        &IndexedEvent { idx, origin: None, event: Event::InstanceCreated { instance: instance("j", &["a"]) } },
    );
    let idx = EventIndex(idx.0 + 1);
    apply(&mut state, &IndexedEvent { idx, origin: None, event: late });
    assert!(state.runners.is_empty(), "{:?}", state.runners);
}
