//! Events, one of JSON in each line, and the State that they fold to.

use crate::input;
use exo_state::{Applied, State, apply, check_invariants};
use exo_types::{Event, FactId, IndexedEvent};

/// Whatever happened, the invariants of the State hold.
pub(crate) fn run(bytes: &[u8]) {
    let mut state = State::default();
    for line in input::text(bytes).lines() {
        let (origin, line) = match line.split_once('\t') {
            Some((origin, line)) => (serde_json::from_str::<FactId>(origin).ok(), line),
            None => (None, line),
        };
        let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
        let idx = state.last_event_applied_idx.next();
        let applied = apply(&mut state, &IndexedEvent { idx, origin, event });
        assert!(!matches!(applied, Applied::OutOfOrder { .. }), "{applied:?}");
        if let Err(violation) = check_invariants(&state) {
            panic!("{violation}");
        }
    }
}
