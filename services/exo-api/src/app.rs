//! What all handlers share.

use crate::ApiContext;
use crate::generation::Beginnings;
use crate::streams::Streams;
use exo_bus::Bus;
use exo_config::Config;
use exo_node::{CommandError, NodeHandle, View};
use exo_telemetry::ServiceStatus;
use exo_types::{Command, CommandId, CommandReply};
use exo_wire::{ApiError, CommandAccepted};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a command may take: the master writes its log and answers at once. Long enough for an election in between.
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);

/// What was accepted is told to this api beside the answer, and may come a moment later. Answers wait for it that long.
const SHOWN: Duration = Duration::from_secs(1);

/// Streams of events at the same time: dashboards and tails, not users.
pub(crate) const FOLLOWERS: usize = 32;

/// Everything that an answer is made of.
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) bus: Bus,
    pub(crate) node: NodeHandle,
    pub(crate) status: ServiceStatus,
    pub(crate) streams: Arc<Streams>,
    /// What prompts began with, and where they were read.
    pub(crate) beginnings: Beginnings,
    /// Places for those who follow the log over HTTP.
    pub(crate) followers: Arc<Semaphore>,
    /// When this api started: stands for the age of models.
    pub(crate) created: u64,
}

impl App {
    pub(crate) fn new(context: ApiContext) -> Self {
        let ApiContext { config, bus, node, status } = context;
        let followers = Arc::new(Semaphore::new(FOLLOWERS));
        let (streams, beginnings, created) = (Arc::default(), Beginnings::default(), unix_seconds());
        Self { config, bus, node, status, streams, beginnings, followers, created }
    }

    /// The cluster as it is now.
    pub(crate) fn view(&self) -> View {
        self.node.view().borrow().clone()
    }

    /// Has the leading master do something; its refusal is an error. Who is answered finds what was done in whatever this
    /// api tells from then on.
    pub(crate) async fn command(&self, command: Command, message: &str) -> Result<CommandAccepted, ApiError> {
        match self.node.commands().send(command, COMMAND_DEADLINE).await {
            Ok(CommandReply::Accepted { command_id, task_id, instance_id }) => {
                self.wait_until_shown(&command_id).await;
                let message = message.to_owned();
                Ok(CommandAccepted { message, command_id, instance_id, task_id, model_card: None })
            }
            Ok(CommandReply::Refused(refusal)) => Err(ApiError::from(&refusal)),
            Err(error) => Err(command_error(&error)),
        }
    }

    async fn wait_until_shown(&self, id: &CommandId) {
        let mut view = self.node.view();
        let shows = view.wait_for(|view| view.state.accepted_commands.get(id).is_some());
        if timeout(SHOWN, shows).await.is_err() {
            tracing::debug!(command = %id, "it is answered before it shows here");
        }
    }
}

fn command_error(error: &CommandError) -> ApiError {
    let message = error.to_string();
    match error {
        CommandError::NoLeader => ApiError::new(503, "no_master", message).retry_after(2),
        CommandError::Unknown { .. } => ApiError::new(504, "outcome_unknown", message),
        CommandError::Send(_) => ApiError::new(503, "bus_unavailable", message).retry_after(2),
    }
}

/// Now, for fields that OpenAI's clients read as a date.
pub(crate) fn unix_seconds() -> u64 {
    exo_ambient::wall_clock().as_secs()
}
