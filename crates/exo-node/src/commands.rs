//! Sends commands to the leading master.

use crate::View;
use exo_bus::{Bus, RequestError, topics};
use exo_types::{Command, CommandId, CommandReply, ForwarderCommand, NodeId, RefusalCode};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long to wait for a master to appear: a restart takes less.
const LEADER_GRACE: Duration = Duration::from_secs(2);
/// One try; the command has the same id in the next, so it is carried out once.
const TRY: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody leads.
    #[error("no master leads the cluster; start exo-master on a node, or wait until it is back (placed models go on)")]
    NoLeader,
    /// The master did not answer in time.
    #[error(
        "the master did not answer command {command_id} within {within:?}; whether it was carried out shows in the state"
    )]
    Timeout {
        /// The command.
        command_id: CommandId,
        /// The deadline.
        within: Duration,
    },
    /// The bus refuses it.
    #[error("the command cannot be sent: {0}")]
    Send(RequestError),
}

/// Sends commands.
#[derive(Clone)]
pub struct CommandClient {
    bus: Bus,
    node_id: NodeId,
    view: watch::Receiver<View>,
}

impl CommandClient {
    pub(crate) fn new(bus: Bus, node_id: NodeId, view: watch::Receiver<View>) -> Self {
        Self { bus, node_id, view }
    }

    /// Sends a command and waits for the answer, `within` at most. `Accepted` means that it is on disk.
    ///
    /// A lost answer is asked for again under the same id, and the first answer is given. Dropping the future gives
    /// the answer up, not the command.
    pub async fn send(&self, command: Command, within: Duration) -> Result<CommandReply, CommandError> {
        let deadline = Instant::now() + within;
        let command_id =
            CommandId::new(uuid::Uuid::now_v7().simple().to_string()).expect("hexadecimal digits are an id");
        let request = ForwarderCommand { origin: self.node_id.clone(), command_id: command_id.clone(), command };
        let mut view = self.view.clone();
        let mut sent = false;
        let timeout = || CommandError::Timeout { command_id: command_id.clone(), within };
        loop {
            let leader = match wait_for_leader(&mut view, deadline, sent).await {
                Some(leader) => leader,
                None if sent => return Err(timeout()),
                None => return Err(CommandError::NoLeader),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match self.bus.request(topics::COMMAND, &leader, &request, left.min(TRY)).await {
                Ok(CommandReply::Refused(refusal)) if refusal.code == RefusalCode::NotLeader => {}
                Ok(reply) => return Ok(reply),
                Err(RequestError::Timeout { .. }) => sent = true,
                Err(RequestError::Unreachable { .. } | RequestError::Refused(_)) => {}
                Err(error) => return Err(CommandError::Send(error)),
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(timeout());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The leader, as soon as there is one. A command that may be under way is worth waiting for until the deadline.
async fn wait_for_leader(view: &mut watch::Receiver<View>, deadline: Instant, sent: bool) -> Option<NodeId> {
    let grace = if sent { deadline } else { deadline.min(Instant::now() + LEADER_GRACE) };
    let found = timeout_at(grace, view.wait_for(|view| view.leader.is_some())).await;
    found.ok()?.ok()?.leader.clone()
}
