use super::*;
use crate::testing::{cluster, decide_ok, fold, place, told};
use exo_types::{RunnerStatus, SessionId};

const READY: RunnerStatus = RunnerStatus::RunnerReady { incarnation: 1 };

fn adopted(state: State, other: &State) -> State {
    let mut draft = Draft::new(state);
    adopt(&mut draft, other);
    exo_state::check_invariants(draft.state()).expect("invariants hold");
    draft.state().clone()
}

/// A cluster of one node, with "m" placed there under that name and ready.
fn serving(node: &str, command: &str) -> State {
    let state = cluster(&[(node, 2000)]);
    let state = fold(state.clone(), decide_ok(&state, command, &place("m", 1)).events);
    fold(state, [told(&format!("{command}-0"), READY)])
}

#[test]
fn what_runs_goes_on_under_its_name() {
    let (one, two) = (serving("a", "c1"), serving("b", "c2"));
    let both = adopted(one.clone(), &two);
    assert_eq!(both.instances.len(), 2);
    assert!(both.instances.values().all(|instance| both.is_ready(instance)));
    assert_eq!((both.intents.len(), both.open_intents().count()), (2, 0));
    assert_eq!(both.topology.nodes.len(), 2);
    assert_eq!(both.session, one.session, "the session is its own");
    assert_eq!(adopted(both.clone(), &two), both, "twice is once");
}

#[test]
fn what_is_taken_stays_as_it_is() {
    let (one, two) = (serving("a", "c1"), serving("b", "c1"));
    let both = adopted(one.clone(), &two);
    assert_eq!(both.instances, one.instances);
    assert_eq!(both.runners, one.runners);
    assert_eq!(both.topology.nodes.len(), 2);
}

#[test]
fn an_empty_session_brings_nothing() {
    let one = serving("a", "c1");
    let empty =
        State { session: Some(SessionId { generation: 9, ..one.session.clone().expect("one") }), ..State::default() };
    assert_eq!(adopted(one.clone(), &empty), one);
}
