//! What was acknowledged is in every later State; what was refused never happens; nothing happens twice.
//!
//! A command that failed otherwise is unknown: it may be there or not, as long as all agree.
//!
//! Where sessions may have been apart (a survivor took over, or they were founded apart), a command may have been
//! carried out in one and refused in the other. What is promised then is what was acknowledged on either side: what was
//! placed is asked for, and what was taken away stays away.

use super::Holds;
use crate::oracle::{Asked, Commanded, Told};
use exo_state::State;
use exo_types::{CommandId, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const NAME: &str = "an acknowledged command stays";

/// A State remembers so many commands at least; more of them in one simulation could not be compared.
const REMEMBERED: usize = 1024;

/// How often each command was carried out, in each session.
pub(crate) type Happened = BTreeMap<CommandId, BTreeMap<SessionId, usize>>;

/// What is compared.
pub(crate) struct Accounts<'a> {
    /// What clients were told.
    pub(crate) told: &'a BTreeMap<CommandId, Told>,
    /// What the logs say.
    pub(crate) happened: &'a Happened,
    /// The State of everybody who is there at the end.
    pub(crate) finals: &'a [(String, Arc<State>)],
    /// Whether there may have been more than one session.
    pub(crate) apart: bool,
}

impl Accounts<'_> {
    /// Everything that is wrong.
    pub(crate) fn check(&self) -> Vec<String> {
        if self.told.len() > REMEMBERED {
            return vec![format!("{} commands are more than a State remembers", self.told.len())];
        }
        let mut wrong: Vec<String> = self.told.iter().filter_map(|(id, told)| self.history(id, told).err()).collect();
        for (who, state) in self.finals {
            let acknowledged = self.told.iter().filter(|(_, told)| told.commanded == Commanded::Accepted);
            wrong.extend(acknowledged.filter_map(|(id, told)| self.one(who, state, id, &told.asked).err()));
        }
        wrong
    }

    fn history(&self, id: &CommandId, told: &Told) -> Holds {
        let times = self.happened.get(id);
        if let Some((session, times)) = times.into_iter().flatten().find(|(_, times)| **times > 1) {
            return Err(format!("command {id} was carried out {times} times in {session}"));
        }
        match (told.commanded, times.is_some()) {
            (Commanded::Accepted, false) => Err(format!("command {id} was acknowledged and is in no log")),
            (Commanded::Refused, true) if !self.apart => {
                Err(format!("command {id} was refused and carried out all the same"))
            }
            _ => Ok(()),
        }
    }

    fn one(&self, who: &str, state: &State, id: &CommandId, asked: &Asked) -> Holds {
        let has = |wish: &str| state.intents.keys().any(|intent| intent.as_str() == wish);
        if state.accepted_commands.get(id).is_none() && !self.apart {
            return Err(format!("command {id} was acknowledged and is lost in the State of {who}"));
        }
        match asked {
            Asked::Place if !has(id.as_str()) && !self.may_be_deleted(id.as_str()) => {
                Err(format!("placement {id} was acknowledged and is not asked for in the State of {who}"))
            }
            Asked::Delete { wish: Some(wish), .. } if has(wish.as_str()) => {
                Err(format!("{wish} was taken away by command {id} and is asked for in the State of {who}"))
            }
            Asked::Delete { instance, .. } if state.instances.contains_key(instance) => {
                Err(format!("instance {instance} was taken away by command {id} and is in the State of {who}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether anybody asked for that and may have been heeded.
    fn may_be_deleted(&self, wish: &str) -> bool {
        let mut heeded = self.told.values().filter(|told| self.apart || told.commanded != Commanded::Refused);
        heeded.any(|told| told.asked.may_withdraw(wish))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::intent;
    use exo_state::apply;
    use exo_types::{Event, EventIndex, IndexedEvent, InstanceId, IntentId, NodeId};

    fn id(name: &str) -> CommandId {
        CommandId::new(name).expect("a good id")
    }

    fn session(generation: u64) -> SessionId {
        SessionId { generation, master_node_id: NodeId::new("a").expect("a good id") }
    }

    fn state(events: Vec<Event>) -> Arc<State> {
        let mut state = State::default();
        for (idx, event) in (1..).zip(events) {
            apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
        }
        Arc::new(state)
    }

    fn accepted(name: &str) -> Event {
        Event::CommandAccepted { command_id: id(name), task_id: None, instance_id: None }
    }

    fn wanted(name: &str) -> Event {
        Event::IntentRecorded { intent: intent(name) }
    }

    fn deletion() -> Asked {
        let (instance, wish) = (InstanceId::new("p").expect("a good id"), IntentId::new("p").expect("a good id"));
        Asked::Delete { instance, wish: Some(wish) }
    }

    fn told(commands: &[(&str, Asked, Commanded)]) -> BTreeMap<CommandId, Told> {
        let told = |asked: &Asked, commanded: &Commanded| Told { asked: asked.clone(), commanded: *commanded };
        commands.iter().map(|(name, asked, commanded)| (id(name), told(asked, commanded))).collect()
    }

    fn is_wrong(told: &BTreeMap<CommandId, Told>, happened: &Happened, last: &Arc<State>, apart: bool) -> bool {
        let finals = [("a".to_owned(), last.clone())];
        !Accounts { told, happened, finals: &finals, apart }.check().is_empty()
    }

    #[test]
    fn what_was_told_is_compared_with_what_happened() {
        let last = state(vec![accepted("c")]);
        for (commanded, times, holds, holds_apart) in [
            (Commanded::Accepted, 1, true, true),
            (Commanded::Accepted, 0, false, false),
            (Commanded::Accepted, 2, false, false),
            (Commanded::Refused, 0, true, true),
            (Commanded::Refused, 1, false, true),
            (Commanded::Unknown, 0, true, true),
            (Commanded::Unknown, 1, true, true),
            (Commanded::Unknown, 2, false, false),
            (Commanded::UnderWay, 1, true, true),
        ] {
            let told = told(&[("c", Asked::Other, commanded)]);
            let happened: Happened =
                (times > 0).then(|| (id("c"), BTreeMap::from([(session(1), times)]))).into_iter().collect();
            assert_eq!(!is_wrong(&told, &happened, &last, false), holds, "{commanded:?} {times}");
            assert_eq!(!is_wrong(&told, &happened, &last, true), holds_apart, "{commanded:?} {times}");
        }
        let in_two = BTreeMap::from([(id("c"), BTreeMap::from([(session(1), 1), (session(2), 1)]))]);
        assert!(!is_wrong(&told(&[("c", Asked::Other, Commanded::Accepted)]), &in_two, &last, true));
    }

    #[test]
    fn a_state_that_lost_what_was_acknowledged_is_seen() {
        let happened: Happened = ["p", "d"].map(|name| (id(name), BTreeMap::from([(session(1), 1)]))).into();
        let placed = told(&[("p", Asked::Place, Commanded::Accepted)]);
        let deleted = told(&[("p", Asked::Place, Commanded::Accepted), ("d", deletion(), Commanded::Accepted)]);
        let unsure = told(&[("p", Asked::Place, Commanded::Accepted), ("d", deletion(), Commanded::Unknown)]);
        let here = state(vec![accepted("p"), wanted("p"), accepted("d")]);
        let gone = state(vec![accepted("p"), accepted("d")]);
        for (what, told, last, apart, wrong) in [
            ("it is there", &placed, &here, false, false),
            ("the wish is lost", &placed, &gone, false, true),
            ("the wish is lost", &placed, &gone, true, true),
            ("it was taken away", &deleted, &gone, true, false),
            ("it came back", &deleted, &here, true, true),
            ("it may have been taken away", &unsure, &gone, false, false),
            ("it may be there", &unsure, &here, false, false),
            ("the command is forgotten", &placed, &state(vec![wanted("p")]), false, true),
            ("another session knows the command", &placed, &state(vec![wanted("p")]), true, false),
        ] {
            assert_eq!(is_wrong(told, &happened, last, apart), wrong, "{what}");
        }
    }
}
