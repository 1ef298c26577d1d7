//! Two States, so that one can be looked at while the other goes on.

use crate::{State, apply};
use exo_types::IndexedEvent;
use std::sync::Arc;

/// Folds events without ever changing a State that somebody looks at, and without a copy for each change.
///
/// The front is shown. The back is one step behind it: what the front got is applied to it before it takes its turn.
/// Only when somebody still holds the State that was shown before, is the front copied.
#[derive(Debug)]
pub struct Mirror {
    front: Arc<State>,
    back: Option<Arc<State>>,
    /// What the front has and the back has not.
    missed: Arc<Vec<IndexedEvent>>,
}

impl Mirror {
    /// Begins with a State.
    pub fn new(state: Arc<State>) -> Self {
        Self { front: state, back: None, missed: Arc::default() }
    }

    /// The State that is shown.
    pub fn front(&self) -> &Arc<State> {
        &self.front
    }

    /// The State to apply to. [`Mirror::show`] shows it.
    pub fn begin(&mut self) -> State {
        let free = self.back.take().and_then(|back| Arc::try_unwrap(back).ok());
        match free {
            Some(mut state) => {
                for event in self.missed.iter() {
                    apply(&mut state, event);
                }
                state
            }
            None => (*self.front).clone(),
        }
    }

    /// Shows the State, in which these events are new.
    pub fn show(&mut self, state: State, events: Arc<Vec<IndexedEvent>>) {
        self.back = Some(std::mem::replace(&mut self.front, Arc::new(state)));
        self.missed = events;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, EventIndex, Millis, NodeId, SessionId};

    fn event(idx: u64) -> IndexedEvent {
        let session = SessionId { generation: idx, master_node_id: NodeId::new("m").expect("a good id") };
        IndexedEvent { idx: EventIndex(idx), origin: None, event: Event::SessionOpened { session, when: Millis(idx) } }
    }

    fn step(mirror: &mut Mirror, idx: u64) -> *const State {
        let mut state = mirror.begin();
        apply(&mut state, &event(idx));
        mirror.show(state, Arc::new(vec![event(idx)]));
        Arc::as_ptr(mirror.front())
    }

    #[test]
    fn what_is_shown_is_the_fold_and_stays_as_it_was() {
        let mut mirror = Mirror::new(Arc::default());
        let mut folded = State::default();
        let mut held = Vec::new();
        for idx in 1..=20 {
            step(&mut mirror, idx);
            apply(&mut folded, &event(idx));
            assert_eq!(**mirror.front(), folded);
            if idx % 3 == 0 {
                held.push((mirror.front().clone(), folded.clone()));
            }
        }
        for (shown, expect) in held {
            assert_eq!(*shown, expect);
        }
    }
}
