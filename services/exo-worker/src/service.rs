//! The life of the service.

use crate::cause::Cause;
use crate::driver::{Driver, Reporter, Surroundings};
use crate::node_info::node_info;
use crate::probes::{Neighbourhood, watch_models, watch_peers, watch_resources};
use crate::settings::{Settings, SettingsError, addresses};
use exo_bus::{AnnounceError, Bus, BusError, topics};
use exo_config::Config;
use exo_node::{NodeHandle, Role};
use exo_plan::LocalNode;
use exo_runner_host::RunnerHost;
use exo_telemetry::ServiceStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Causes that may wait; beyond that runners and probes do.
const CAUSES: usize = 1024;

/// What the service works with.
pub struct WorkerContext {
    /// The configuration in effect.
    pub config: Arc<Config>,
    /// The bus.
    pub bus: Bus,
    /// This process's place in the cluster.
    pub node: NodeHandle,
    /// Readiness, status, watchdog.
    pub status: ServiceStatus,
}

/// Why the service cannot start.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// No runner program.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nowhere to put models.
    #[error("the model directory {path} cannot be made: {source}; give dataDir to the user that runs exo")]
    ModelDir {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No thread for runners.
    #[error("the system refused what runners need: {0}")]
    System(#[from] io::Error),
    /// The bus does not let it serve.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The cluster cannot be told.
    #[error("the worker cannot be announced: {0}")]
    Announce(#[from] AnnounceError),
}

/// Works until `shutdown`. Then a worker of its own process leaves the cluster at once, answers that are under way end
/// within ten seconds or with an error, and its runners end; nothing is left behind.
pub async fn run(context: WorkerContext, shutdown: CancellationToken) -> Result<(), WorkerError> {
    let WorkerContext { config, bus, node, status } = context;
    let settings = Settings::new(&config)?;
    let models = config.data_dir.join("models");
    tokio::fs::create_dir_all(&models).await.map_err(|source| WorkerError::ModelDir { path: models, source })?;
    let streams = bus.serve_streams(topics::GENERATE).await?;
    let (causes, inbox) = mpsc::channel(CAUSES);
    let mut probes = start_probes(&config, &node, &causes);
    let facts = node.facts();
    let report: Reporter = Box::new(move |event| facts.report(event));
    let local = local_node(&config, &node);
    tracing::info!(program = %settings.program.display(), threads = settings.threads, "the worker runs models");
    let surroundings = Surroundings {
        settings,
        local,
        view: node.view(),
        report,
        status: status.clone(),
        host: RunnerHost::new()?,
        causes,
    };
    node.announce().await?;
    status.ready();
    let leaving = leave(node, shutdown.clone());
    let driving = Driver::new(surroundings).run(inbox, streams, shutdown);
    tokio::join!(driving, leaving);
    probes.shutdown().await;
    Ok(())
}

/// A process that is only a worker withdraws when its end begins, so that nobody places or asks anything here. With
/// other services in the process that is theirs to decide.
async fn leave(node: NodeHandle, shutdown: CancellationToken) {
    shutdown.cancelled().await;
    if node.role() == Role::Worker {
        node.leave().await;
    }
}

fn local_node(config: &Config, node: &NodeHandle) -> LocalNode {
    LocalNode {
        node_id: node.node_id().clone(),
        info: node_info(config),
        resources: exo_hardware::resources(),
        downloads: Vec::new(),
        connections: BTreeSet::new(),
        runners: BTreeMap::new(),
    }
}

fn start_probes(config: &Config, node: &NodeHandle, causes: &mpsc::Sender<Cause>) -> JoinSet<()> {
    let networking = &config.networking;
    let own = Neighbourhood {
        node_id: node.node_id().clone(),
        addresses: addresses(config),
        loopback_only: networking.loopback_only,
        ports: vec![networking.cluster_port, networking.worker_port],
    };
    let mut probes = JoinSet::new();
    probes.spawn(watch_resources(causes.clone()));
    probes.spawn(watch_models(config.model_dirs(), causes.clone()));
    probes.spawn(watch_peers(own, node.view(), causes.clone()));
    probes
}
