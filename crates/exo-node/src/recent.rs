//! The last events that this process folded, for whoever reads the log from here.

use exo_types::{EventIndex, IndexedEvent, SessionId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Events kept; older ones a master has.
const KEPT: usize = 1024;

#[derive(Debug, Default)]
struct Kept {
    session: Option<SessionId>,
    /// Without gaps.
    events: VecDeque<IndexedEvent>,
}

/// A bounded end of one session's log, shared by the follower that writes it and those who read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    kept: Arc<Mutex<Kept>>,
}

impl Recent {
    /// Adds what was folded. What does not follow is the beginning of something new.
    pub(crate) fn extend(&self, session: Option<&SessionId>, folded: Vec<IndexedEvent>) {
        let mut kept = self.lock();
        if kept.session.as_ref() != session {
            *kept = Kept { session: session.cloned(), events: VecDeque::new() };
        }
        for event in folded {
            if kept.events.back().is_some_and(|last| last.idx.next() != event.idx) {
                kept.events.clear();
            }
            if kept.events.len() == KEPT {
                kept.events.pop_front();
            }
            kept.events.push_back(event);
        }
    }

    /// Events of the session from there on, at most so many; none if the first of them is not kept.
    pub(crate) fn read(&self, session: &SessionId, since: EventIndex, limit: usize) -> Option<Vec<IndexedEvent>> {
        let kept = self.lock();
        let first = kept.events.front().filter(|_| kept.session.as_ref() == Some(session))?.idx;
        let skip = usize::try_from(since.0.checked_sub(first.0)?).ok()?;
        let events: Vec<IndexedEvent> = kept.events.iter().skip(skip).take(limit).cloned().collect();
        Some(events).filter(|events| !events.is_empty())
    }

    /// Every change is whole when the lock is given back.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, NodeId};

    fn session(generation: u64) -> SessionId {
        SessionId { generation, master_node_id: NodeId::new("m").expect("a good id") }
    }

    fn events(range: std::ops::RangeInclusive<u64>) -> Vec<IndexedEvent> {
        let event = |idx| {
            let node_id = NodeId::new(format!("n{idx}")).expect("a good id");
            IndexedEvent { idx: EventIndex(idx), origin: None, event: Event::NodeTimedOut { node_id } }
        };
        range.map(event).collect()
    }

    #[test]
    fn the_end_of_one_log_is_kept_and_nothing_across_a_gap() {
        let recent = Recent::default();
        recent.extend(Some(&session(1)), events(1..=3));
        let read = |since, limit| recent.read(&session(1), EventIndex(since), limit).map(|events| events.len());
        assert_eq!((read(1, 9), read(2, 1), read(4, 9), read(0, 9)), (Some(3), Some(1), None, None));
        assert_eq!(recent.read(&session(2), EventIndex(1), 9), None);
        recent.extend(Some(&session(1)), events(9..=10));
        let read = |since| recent.read(&session(1), EventIndex(since), 9).map(|events| events.len());
        assert_eq!((read(3), read(9)), (None, Some(2)), "a State came whole in between");
        recent.extend(Some(&session(2)), Vec::new());
        assert_eq!(recent.read(&session(1), EventIndex(9), 9), None);
    }

    #[test]
    fn it_is_bounded() {
        let recent = Recent::default();
        recent.extend(Some(&session(1)), events(1..=KEPT as u64 + 5));
        assert_eq!(recent.read(&session(1), EventIndex(5), 1), None);
        assert_eq!(recent.read(&session(1), EventIndex(6), usize::MAX).map(|events| events.len()), Some(KEPT));
    }
}
