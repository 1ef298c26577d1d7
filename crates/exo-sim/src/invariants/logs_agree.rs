//! Every master that has applied an index has applied the same event there.

use super::Holds;
use exo_types::{EventIndex, IndexedEvent, SessionId};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "logs agree";

/// The one history, as far as anybody has shown it.
#[derive(Debug, Default)]
pub(crate) struct LogsAgree {
    events: BTreeMap<(SessionId, EventIndex), IndexedEvent>,
}

impl LogsAgree {
    /// Somebody applied that event.
    pub(crate) fn on_event(&mut self, who: &str, session: &SessionId, event: &IndexedEvent) -> Holds {
        let first = self.events.entry((session.clone(), event.idx)).or_insert_with(|| event.clone());
        if first == event {
            return Ok(());
        }
        Err(format!("{who} has {:?} at {} of {session}, another has {:?}", event.event, event.idx, first.event))
    }

    /// All events that anybody has shown, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&SessionId, &IndexedEvent)> {
        self.events.iter().map(|((session, _), event)| (session, event))
    }

    /// The events of a session behind one index up to another; none if some of them were never shown.
    pub(crate) fn between(
        &self,
        session: &SessionId,
        after: EventIndex,
        upto: EventIndex,
    ) -> Option<Vec<&IndexedEvent>> {
        if upto <= after {
            return Some(Vec::new());
        }
        let range = (session.clone(), after.next())..=(session.clone(), upto);
        let events: Vec<_> = self.events.range(range).map(|(_, event)| event).collect();
        (events.len() as u64 == upto.0 - after.0).then_some(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, NodeId};

    #[test]
    fn another_event_at_the_same_index_is_seen() {
        let node = |name| NodeId::new(name).expect("a good id");
        let event = |name| IndexedEvent {
            idx: EventIndex(3),
            origin: None,
            event: Event::NodeTimedOut { node_id: node(name) },
        };
        let (one, two) = (
            SessionId { generation: 1, master_node_id: node("a") },
            SessionId { generation: 2, master_node_id: node("a") },
        );
        let mut invariant = LogsAgree::default();
        assert!(invariant.on_event("a", &one, &event("x")).is_ok());
        assert!(invariant.on_event("b", &one, &event("x")).is_ok());
        assert!(invariant.on_event("b", &two, &event("y")).is_ok());
        assert!(invariant.on_event("c", &one, &event("y")).is_err());
        let between =
            |after, upto| invariant.between(&one, EventIndex(after), EventIndex(upto)).map(|events| events.len());
        assert_eq!((between(2, 3), between(3, 3), between(1, 3), between(2, 4)), (Some(1), Some(0), None, None));
    }
}
