//! The commands that were accepted last, so that each is carried out once, whoever leads.

use exo_types::{CommandId, EventIndex, InstanceId, TaskId};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// Commands remembered. A command is sent again for a minute at most, and people and programs do not send more than a
/// thousand of them in a minute; who does gets a State that shows what came of each.
const REMEMBERED: usize = 1024;

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedCommand {
    /// Which.
    pub command_id: CommandId,
    /// What it set going.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The instance that it made or took away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
}

/// The last of them, by their place in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<EventIndex, AcceptedCommand>")]
pub struct AcceptedCommands {
    by_place: BTreeMap<EventIndex, AcceptedCommand>,
    /// Every command that is applied is looked for.
    place_of: BTreeMap<CommandId, EventIndex>,
}

impl AcceptedCommands {
    /// What came of a command, if it is not too long ago.
    pub fn get(&self, command_id: &CommandId) -> Option<&AcceptedCommand> {
        self.place_of.get(command_id).and_then(|place| self.by_place.get(place))
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &AcceptedCommand> + ExactSizeIterator {
        self.by_place.values()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.by_place.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    pub(crate) fn remember(&mut self, idx: EventIndex, accepted: AcceptedCommand) {
        self.place_of.insert(accepted.command_id.clone(), idx);
        self.by_place.insert(idx, accepted);
        while self.by_place.len() > REMEMBERED
            && let Some((_, oldest)) = self.by_place.pop_first()
        {
            self.place_of.remove(&oldest.command_id);
        }
    }

    pub(crate) const fn limit() -> usize {
        REMEMBERED
    }
}

impl From<BTreeMap<EventIndex, AcceptedCommand>> for AcceptedCommands {
    fn from(by_place: BTreeMap<EventIndex, AcceptedCommand>) -> Self {
        let place_of = by_place.iter().map(|(place, accepted)| (accepted.command_id.clone(), *place)).collect();
        Self { by_place, place_of }
    }
}

impl Serialize for AcceptedCommands {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_place.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(number: u64) -> AcceptedCommand {
        let command_id = CommandId::new(format!("c{number}")).expect("a good id");
        AcceptedCommand { command_id, task_id: None, instance_id: None }
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut accepted = AcceptedCommands::default();
        for number in 1..=REMEMBERED as u64 + 3 {
            accepted.remember(EventIndex(number * 2), command(number));
        }
        assert_eq!(accepted.len(), REMEMBERED);
        assert_eq!(accepted.get(&command(3).command_id), None);
        assert_eq!(accepted.get(&command(4).command_id), Some(&command(4)));
        let stored = serde_json::to_vec(&accepted).expect("writes");
        assert_eq!(serde_json::from_slice::<AcceptedCommands>(&stored).expect("reads"), accepted);
    }
}
