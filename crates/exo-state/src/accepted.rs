//! The commands that were accepted last, so that each is carried out once, whoever leads.

use exo_types::{CommandId, EventIndex, InstanceId, TaskId};
use serde::{Deserialize, Serialize};
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AcceptedCommands(BTreeMap<EventIndex, AcceptedCommand>);

impl AcceptedCommands {
    /// What came of a command, if it is not too long ago.
    pub fn get(&self, command_id: &CommandId) -> Option<&AcceptedCommand> {
        // A repetition asks for what is recent.
        self.0.values().rev().find(|accepted| accepted.command_id == *command_id)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &AcceptedCommand> + ExactSizeIterator {
        self.0.values()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn remember(&mut self, idx: EventIndex, accepted: AcceptedCommand) {
        self.0.insert(idx, accepted);
        while self.0.len() > REMEMBERED {
            self.0.pop_first();
        }
    }

    pub(crate) const fn limit() -> usize {
        REMEMBERED
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
    }
}
