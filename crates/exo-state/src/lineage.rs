//! What a State descends from: how two States of one cluster that went on apart are made one again.
//!
//! Each thing keeps the place in the log where it came in, and each State the histories that are in it. What one of two
//! States lacks though it has seen that place was taken away there; what it has not seen is new to it. So nothing has to
//! be remembered of what was deleted. This is the observed-remove set without tombstones of Bieniusa et al., "An
//! optimized conflict-free replicated set" (2012).

use crate::State;
use exo_types::{Births, Event, EventIndex, LogPlace, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sessions remembered besides the own one. One is added with each takeover and with each cluster that is joined; what
/// came from one that is forgotten is new again, should its last master come back.
const SESSIONS: usize = 256;

/// What a State descends from, and where what is in it came in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lineage {
    /// The end of each other session that is in the State, in the order of the sessions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histories: Vec<LogPlace>,
    /// Where it came in. What an older version stored has no place.
    #[serde(skip_serializing_if = "Births::is_empty")]
    pub births: Births,
}

impl Lineage {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.histories.is_empty() && self.births.is_empty()
    }

    /// The most sessions that are remembered.
    pub(crate) const fn limit() -> usize {
        SESSIONS
    }

    /// A session is in the State up to there.
    fn has_seen(&mut self, seen: &LogPlace) {
        match self.histories.binary_search_by(|known| known.session.cmp(&seen.session)) {
            Ok(at) => {
                if let Some(known) = self.histories.get_mut(at) {
                    known.idx = known.idx.max(seen.idx);
                }
            }
            Err(at) => self.histories.insert(at, seen.clone()),
        }
        // Smaller generations were given up longer ago.
        let surplus = self.histories.len().saturating_sub(SESSIONS);
        self.histories.drain(..surplus);
    }
}

/// Everything that a State has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Horizon(BTreeMap<SessionId, EventIndex>);

impl Horizon {
    /// Whether what happened there is in the State, or was taken away again.
    pub fn has_seen(&self, place: &LogPlace) -> bool {
        place.idx == EventIndex(0) || self.0.get(&place.session).is_some_and(|end| place.idx <= *end)
    }

    /// Whether there is nothing that the other State has seen and this one has not.
    pub fn has_seen_all_of(&self, other: &Self) -> bool {
        other.places().all(|end| self.has_seen(&end))
    }

    /// The end of each history.
    pub fn places(&self) -> impl Iterator<Item = LogPlace> {
        self.0.iter().map(|(session, idx)| LogPlace { session: session.clone(), idx: *idx })
    }
}

impl State {
    /// Everything that this State has seen.
    pub fn horizon(&self) -> Horizon {
        let others = self.lineage.histories.iter().map(|end| (end.session.clone(), end.idx));
        let own = self.session.iter().map(|session| (session.clone(), self.last_event_applied_idx));
        Horizon(others.chain(own).collect())
    }

    /// The State as it is told to a cluster that begins with it: all that is in it is wanted there, whatever others that
    /// come in later have taken away.
    #[must_use]
    pub fn reborn(mut self) -> Self {
        self.lineage.births = Births::default();
        self
    }
}

/// Another session goes on from this State.
pub(crate) fn on_opened(state: &mut State, session: &SessionId) {
    let end = EventIndex(state.last_event_applied_idx.0.saturating_sub(1));
    if let Some(before) = state.session.clone().filter(|before| before != session) {
        state.lineage.has_seen(&LogPlace { session: before, idx: end });
    }
}

/// What another session had is in the State now, or was taken away.
pub(crate) fn adopted(state: &mut State, histories: &[LogPlace], births: &Births) -> bool {
    let before = state.lineage.clone();
    let own = state.session.clone();
    let others = histories.iter().filter(|end| Some(&end.session) != own.as_ref());
    others.for_each(|end| state.lineage.has_seen(end));
    let known = &mut state.lineage.births;
    keep(&mut known.intents, &births.intents);
    keep(&mut known.instances, &births.instances);
    keep(&mut known.join_tokens, &births.join_tokens);
    keep(&mut known.admitted, &births.admitted);
    keep(&mut known.drained, &births.drained);
    state.lineage != before
}

/// Of what is there, the first birth counts: not that into this session.
fn keep<K: Ord>(known: &mut BTreeMap<K, LogPlace>, first: &BTreeMap<K, LogPlace>) {
    for (name, place) in first {
        if let Some(known) = known.get_mut(name) {
            known.clone_from(place);
        }
    }
}

/// Remembers where something came in, and forgets it when it goes. The event changed the State.
pub(crate) fn note(state: &mut State, event: &Event) {
    let Some(session) = &state.session else { return };
    let idx = state.last_event_applied_idx;
    let here = || LogPlace { session: session.clone(), idx };
    let births = &mut state.lineage.births;
    match event {
        Event::InstanceCreated { instance } => {
            births.instances.insert(instance.instance_id.clone(), here());
        }
        Event::InstanceDeleted { instance_id } => {
            births.instances.remove(instance_id);
        }
        Event::IntentRecorded { intent } => {
            births.intents.insert(intent.id.clone(), here());
        }
        Event::IntentWithdrawn { intent_id } => {
            births.intents.remove(intent_id);
        }
        Event::JoinTokenCreated { token } => {
            births.join_tokens.insert(token.id.clone(), here());
        }
        Event::JoinTokenDeleted { id } => {
            births.join_tokens.remove(id);
        }
        Event::NodeDrained { node_id, drained: true } => {
            births.drained.insert(node_id.clone(), here());
        }
        Event::NodeDrained { node_id, drained: false } => {
            births.drained.remove(node_id);
        }
        Event::NodeAdmitted { node_id, .. } => {
            births.admitted.insert(node_id.clone(), here());
        }
        Event::NodeRemoved { node_id } => {
            births.drained.remove(node_id);
            births.admitted.remove(node_id);
        }
        Event::NodeRevoked { .. } | Event::KeyRevoked { .. } => {
            let admitted = &state.identity.admitted;
            births.admitted.retain(|node, _| admitted.contains_key(node));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{created, indexed, session};
    use exo_types::{InstanceId, Millis};

    fn opened(session: SessionId) -> Event {
        Event::SessionOpened { session, when: Millis(0) }
    }

    fn folded(events: impl IntoIterator<Item = Event>) -> State {
        let mut state = State::default();
        for event in indexed(events) {
            crate::apply(&mut state, &event);
        }
        state
    }

    fn at(generation: u64, idx: u64) -> LogPlace {
        LogPlace { session: SessionId { generation, ..session() }, idx: EventIndex(idx) }
    }

    #[test]
    fn a_takeover_has_seen_all_that_was_before_it_and_no_more() {
        let before = [opened(session()), created("one", &["a"])];
        let state = folded(before.into_iter().chain([opened(at(2, 0).session), created("two", &["a"])]));
        let horizon = state.horizon();
        for (place, seen) in
            [(at(1, 2), true), (at(1, 3), false), (at(2, 4), true), (at(2, 5), false), (at(3, 1), false)]
        {
            assert_eq!(horizon.has_seen(&place), seen, "{place:?}");
        }
        let births = &state.lineage.births.instances;
        let names = ["one", "two"].map(|name| InstanceId::new(name).expect("a good id"));
        assert_eq!(names.map(|name| births[&name].clone()), [at(1, 2), at(2, 4)]);
        assert!(state.clone().reborn().lineage.births.is_empty());
    }

    #[test]
    fn the_smallest_sessions_are_forgotten_first() {
        let mut lineage = Lineage::default();
        (1..=SESSIONS as u64 + 2).rev().for_each(|generation| lineage.has_seen(&at(generation, 7)));
        lineage.has_seen(&at(3, 5));
        assert_eq!(lineage.histories.len(), SESSIONS);
        assert_eq!(lineage.histories.first(), Some(&at(3, 7)), "what was seen stays seen");
    }
}
