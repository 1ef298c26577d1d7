//! A short visit to the cluster, with the identity of this machine's node: for the command line.

use crate::bus::visitor;
use crate::{CommonArgs, ConfigurationError, read_configuration};
use exo_bus::{Bus, BusError};
use exo_config::Config;
use exo_identity::{CryptoError, Identity, IdentityError, IdentityStore};
use exo_node::{Identity as ProcessIdentity, JoinError, Node, NodeHandle, Role, View};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// How long to look for the cluster.
const FIND: Duration = Duration::from_secs(10);

/// Why a visit did not come about.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// No configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// Nobody has been here yet.
    #[error(
        "{0} has no identity: no node of exo was ever started there. Start one (`exo up`), or run this as the user and \
         with the --data-dir of the one that runs (`sudo -u exo exo cluster ...`)"
    )]
    NoIdentity(PathBuf),
    /// It cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its parts do not fit together.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// Its time is over.
    #[error("the certificate of this node has expired; start the node (it is renewed then), or run `exo cluster join`")]
    Expired,
    /// No bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// No place on it.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Nobody there.
    #[error(
        "no master answers within {FIND:?}; is exo running here, or on a peer (`networking.peers`)? `exo status` may tell"
    )]
    NoMaster,
}

/// A visit. The visitor is no node: it runs nothing, and nobody waits for it.
pub struct Visit {
    /// The configuration in effect.
    pub config: Config,
    /// Who this machine's node is.
    pub identity: Identity,
    /// The bus.
    pub bus: Bus,
    /// The way to the State and the master.
    pub node: NodeHandle,
}

impl Visit {
    /// Joins the bus. Needs a runtime of several threads.
    pub async fn begin(args: &CommonArgs) -> Result<Self, VisitError> {
        let config = read_configuration(args)?.loaded.config;
        let store = IdentityStore::new(&config.data_dir);
        let parts = store.load()?.ok_or_else(|| VisitError::NoIdentity(config.data_dir.clone()))?;
        let identity = Identity::from_parts(&parts)?;
        if identity.not_after() <= SystemTime::now() {
            return Err(VisitError::Expired);
        }
        identity.set_members(store.members());
        let bus = visitor(&config, identity.clone()).join().await?;
        let who = ProcessIdentity { node_id: identity.node_id(), role: Role::Api };
        let node = Node::join(&bus, who).await?;
        Ok(Self { config, identity, bus, node })
    }

    /// The State that a master tells.
    pub async fn view(&self) -> Result<View, VisitError> {
        let mut view = self.node.view();
        let found = timeout(FIND, view.wait_for(|view| view.is_joined() && view.leader.is_some())).await;
        match found {
            Ok(Ok(view)) => Ok(view.clone()),
            Ok(Err(_)) | Err(_) => Err(VisitError::NoMaster),
        }
    }

    /// Goes.
    pub async fn end(self) {
        self.node.leave().await;
        self.bus.close().await;
    }
}
