//! Sends commands to the leading master.

use crate::View;
use crate::views::Views;
use exo_bus::{Bus, RequestError, topics};
use exo_types::{Command, CommandId, CommandReply, ForwarderCommand, NodeId, RefusalCode};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long to wait for a master to appear: a restart or an election takes less.
const LEADER_GRACE: Duration = Duration::from_secs(4);
/// One try; the command has the same id in the next, so it is carried out once.
const TRY: Duration = Duration::from_secs(2);
/// Between two tries, unless another master begins to lead before.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a master may be believed that another one leads, before that shows by itself.
const HINTS: u32 = 3;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody leads. The command was not carried out.
    #[error("no master leads the cluster; start exo-master on a node, or wait until it is back (placed models go on)")]
    NoLeader,
    /// No answer came in time. The command was carried out, or will be, or never was: neither may be assumed.
    #[error(
        "no answer to command {command_id} came within {within:?}; whether it was carried out is unknown and shows in the state"
    )]
    Unknown {
        /// The command.
        command_id: CommandId,
        /// The deadline.
        within: Duration,
    },
    /// The bus refuses it. The command was not carried out.
    #[error("the command cannot be sent: {0}")]
    Send(RequestError),
}

/// Sends commands.
#[derive(Clone)]
pub struct CommandClient {
    bus: Bus,
    node_id: NodeId,
    views: Views,
}

/// How one try ended.
enum Tried {
    Answered(CommandReply),
    /// Not carried out by this one; another may lead.
    NotLeader(Option<NodeId>),
    /// Perhaps carried out.
    Lost,
    Failed(RequestError),
}

impl CommandClient {
    pub(crate) fn new(bus: Bus, node_id: NodeId, views: Views) -> Self {
        Self { bus, node_id, views }
    }

    /// Sends a command and waits for the answer, `within` at most. `Accepted` means that it is on the disks of a
    /// majority.
    ///
    /// A lost answer is asked for again under the same id, of whoever leads then, and the first answer is given.
    /// Dropping the future gives the answer up, not the command.
    pub async fn send(&self, command: Command, within: Duration) -> Result<CommandReply, CommandError> {
        let command_id = CommandId::new(exo_ambient::fresh_id()).expect("hexadecimal digits are an id");
        self.send_as(command_id, command, within).await
    }

    /// The same under an id that the caller knows, which no other command may have.
    pub async fn send_as(
        &self,
        command_id: CommandId,
        command: Command,
        within: Duration,
    ) -> Result<CommandReply, CommandError> {
        let deadline = Instant::now() + within;
        let request = ForwarderCommand { origin: self.node_id.clone(), command_id: command_id.clone(), command };
        let mut view = self.views.subscribe();
        let mut sent = false;
        let (mut hint, mut hints) = (None, 0);
        loop {
            let leader = match hint.take() {
                Some(leader) => Some(leader),
                None => wait_for_leader(&mut view, deadline, sent).await,
            };
            let Some(leader) = leader else {
                return Err(if sent { CommandError::Unknown { command_id, within } } else { CommandError::NoLeader });
            };
            match self.try_once(&mut view, &leader, &request, deadline).await {
                // This try changed nothing; an earlier one may still come true.
                Tried::Answered(reply) if sent && is_of_the_disk(&reply) => {}
                Tried::Answered(reply) => return Ok(reply),
                Tried::Failed(error) if !sent => return Err(CommandError::Send(error)),
                Tried::Failed(_) | Tried::Lost => sent = true,
                Tried::NotLeader(Some(other)) if other != leader && hints < HINTS => {
                    (hint, hints) = (Some(other), hints + 1);
                    continue;
                }
                Tried::NotLeader(_) => {}
            }
            if !pause(&mut view, &leader, deadline).await {
                return Err(if sent { CommandError::Unknown { command_id, within } } else { CommandError::NoLeader });
            }
        }
    }

    /// Asks one master, until it answers or another begins to lead.
    async fn try_once(
        &self,
        view: &mut watch::Receiver<View>,
        asked: &NodeId,
        request: &ForwarderCommand,
        deadline: Instant,
    ) -> Tried {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.bus.request(topics::COMMAND, asked, request, left.min(TRY));
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = another_leads(view, asked) => return Tried::Lost,
        };
        match answer {
            Ok(CommandReply::Refused(refusal)) if refusal.code == RefusalCode::NotLeader => {
                Tried::NotLeader(refusal.leader)
            }
            Ok(CommandReply::Refused(refusal)) if refusal.code == RefusalCode::OutcomeUnknown => Tried::Lost,
            Ok(reply) => Tried::Answered(reply),
            // Whoever is gone now may have been there a moment ago.
            Err(RequestError::Timeout { .. } | RequestError::Unreachable { .. } | RequestError::Refused(_)) => {
                Tried::Lost
            }
            Err(error) => Tried::Failed(error),
        }
    }
}

fn is_of_the_disk(reply: &CommandReply) -> bool {
    matches!(reply, CommandReply::Refused(refusal) if refusal.code == RefusalCode::LogUnavailable)
}

/// The leader, as soon as there is one. A command that may be under way is worth waiting for until the deadline.
async fn wait_for_leader(view: &mut watch::Receiver<View>, deadline: Instant, sent: bool) -> Option<NodeId> {
    let grace = if sent { deadline } else { deadline.min(Instant::now() + LEADER_GRACE) };
    let found = timeout_at(grace, view.wait_for(|view| view.leader.is_some())).await;
    found.ok()?.ok()?.leader.clone()
}

/// Ends when somebody begins to lead who was not asked and did not lead before; never, if nobody does.
async fn another_leads(view: &mut watch::Receiver<View>, asked: &NodeId) {
    let before = view.borrow().leader.clone();
    let is_new = |view: &View| {
        let leader = view.leader.as_ref();
        leader.is_some() && leader != Some(asked) && leader != before.as_ref()
    };
    if view.wait_for(is_new).await.is_err() {
        std::future::pending().await
    }
}

/// Waits a moment, or less if the view shows another leader. False when the deadline comes first.
async fn pause(view: &mut watch::Receiver<View>, asked: &NodeId, deadline: Instant) -> bool {
    let until = Instant::now() + PAUSE;
    if until >= deadline {
        tokio::time::sleep_until(deadline).await;
        return false;
    }
    let is_other = |view: &View| view.leader.as_ref().is_some_and(|leader| leader != asked);
    let _ = timeout_at(until, view.wait_for(is_other)).await;
    true
}
