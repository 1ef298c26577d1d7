//! A process's place in the cluster.

use crate::facts::{FactSender, send_facts};
use crate::follow::{FollowInputs, follow};
use crate::recent::Recent;
use crate::views::Views;
use crate::{CommandClient, LogReader, Role, View};
use exo_bus::{AnnounceError, Bus, BusError, PresenceToken, topics};
use exo_types::{NodeId, NodePresence};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its node.
    pub node_id: NodeId,
    /// Which services it is.
    pub role: Role,
}

/// Why a process cannot take its place.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The bus does not let it.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Joins.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts following the log and telling facts. Returns at once, with an empty view; the first master found fills it.
    pub async fn join(bus: &Bus, identity: Identity) -> Result<NodeHandle, JoinError> {
        let inputs = FollowInputs::open(bus).await?;
        let views = Views::default();
        let facts = FactSender::new(identity.node_id.clone());
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let recent = Recent::default();
        tasks.spawn(follow(bus.clone(), inputs, views.writer(), recent.clone(), stop.clone()));
        tasks.spawn(send_facts(bus.clone(), facts.clone(), views.subscribe(), stop.clone()));
        let commands = CommandClient::new(bus.clone(), identity.node_id.clone(), views.clone());
        let log = LogReader::new(bus.clone(), views.clone(), recent);
        let _stop = stop.clone().drop_guard();
        let shared = Shared { bus: bus.clone(), identity, views, facts, commands, log, tasks, _stop };
        Ok(NodeHandle { shared: Arc::new(shared), stop })
    }
}

struct Shared {
    bus: Bus,
    identity: Identity,
    views: Views,
    facts: FactSender,
    commands: CommandClient,
    log: LogReader,
    tasks: TaskTracker,
    /// With the last handle the tasks end.
    _stop: DropGuard,
}

/// A process's place in the cluster, shared by its parts. The last one dropped leaves.
#[derive(Clone)]
pub struct NodeHandle {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl NodeHandle {
    /// Who this is.
    pub fn node_id(&self) -> &NodeId {
        &self.shared.identity.node_id
    }

    /// Which services this process is.
    pub fn role(&self) -> Role {
        self.shared.identity.role
    }

    /// The latest view, and a way to wait for the next.
    pub fn view(&self) -> watch::Receiver<View> {
        self.shared.views.subscribe()
    }

    /// Tells facts of this node.
    pub fn facts(&self) -> FactSender {
        self.shared.facts.clone()
    }

    /// Sends commands to the leading master.
    pub fn commands(&self) -> CommandClient {
        self.shared.commands.clone()
    }

    /// Reads the log's events.
    pub fn log(&self) -> LogReader {
        self.shared.log.clone()
    }

    /// Tells everybody that this process is there and serves, until the handle is left. Call it after serving began.
    /// The master takes a node whose last such presence ends for lost.
    pub async fn announce(&self) -> Result<(), AnnounceError> {
        let presence = self.presence();
        let token = self.shared.bus.announce(topics::NODE, &presence).await?;
        let keep = keep_presence(token, presence, self.view(), self.stop.clone());
        self.shared.tasks.spawn(keep);
        Ok(())
    }

    /// Leaves: presence ends, nothing is followed or told any more. Facts that were not seen yet are dropped.
    pub async fn leave(self) {
        self.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn presence(&self) -> NodePresence {
        let session = self.shared.views.latest().session;
        NodePresence { node_id: self.node_id().clone(), roles: self.role().roles(), session }
    }
}

/// Tells the session that is followed, as it changes.
async fn keep_presence(
    mut token: PresenceToken<NodePresence>,
    mut presence: NodePresence,
    mut view: watch::Receiver<View>,
    stop: CancellationToken,
) {
    loop {
        let changed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = view.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let session = view.borrow_and_update().session.clone();
        if session != presence.session {
            presence.session = session;
            if let Err(error) = token.update(&presence).await {
                tracing::warn!(%error, "the session that this process follows cannot be told");
            }
        }
    }
}
