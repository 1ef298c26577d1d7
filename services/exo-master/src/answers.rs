//! The answers given lately, so that a repeated command gets the first one again.

use exo_types::{CommandId, CommandReply};
use std::collections::{BTreeMap, VecDeque};

/// Answers remembered: a command is repeated within seconds, and there are not that many in seconds.
const REMEMBERED: usize = 4096;

/// Answers by command.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_command: BTreeMap<CommandId, CommandReply>,
    order: VecDeque<CommandId>,
}

impl Answers {
    /// The answer that was given.
    pub(crate) fn get(&self, command: &CommandId) -> Option<&CommandReply> {
        self.by_command.get(command)
    }

    /// Remembers the first answer.
    pub(crate) fn remember(&mut self, command: CommandId, reply: CommandReply) {
        if self.by_command.insert(command.clone(), reply).is_none() {
            self.order.push_back(command);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.by_command.remove(&oldest);
            }
        }
    }
}
