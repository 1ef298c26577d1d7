//! The life of the service.

use crate::awake::keep_awake;
use crate::cause::Cause;
use crate::driver::{Driver, Reporter, Surroundings};
use crate::node_info::node_info;
use crate::probes::{Neighbourhood, watch_hardware, watch_models, watch_peers, watch_resources};
use crate::scoped::ScopedHost;
use crate::settings::{Settings, SettingsError, addresses, model_store};
use exo_bus::{AnnounceError, Bus, BusError, topics};
use exo_config::Config;
use exo_identity::Identity;
use exo_models::FoundModel;
use exo_node::{NodeHandle, Role};
use exo_plan::LocalNode;
use exo_runner_host::{RunnerHost, StartRunners, confinement_here};
use exo_telemetry::ServiceStatus;
use exo_types::{ModelId, NodeInfo, NodeResources};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
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
    /// Who the node is, for the links of its runners.
    pub identity: Identity,
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

/// What a worker finds on its machine.
pub struct Machine {
    /// How runners are run.
    pub settings: Settings,
    /// What the node tells of itself.
    pub info: NodeInfo,
    /// What it has when the worker starts.
    pub resources: NodeResources,
    /// Starts runners.
    pub host: Arc<dyn StartRunners>,
}

/// Works until `shutdown`. Then a worker of its own process leaves the cluster at once, answers that are under way end
/// within ten seconds or with an error, and its runners end; nothing is left behind.
pub async fn run(context: WorkerContext, shutdown: CancellationToken) -> Result<(), WorkerError> {
    let WorkerContext { config, bus, identity, node, status } = context;
    let settings = Settings::new(&config)?;
    let models = config.data_dir.join("models");
    tokio::fs::create_dir_all(&models).await.map_err(|source| WorkerError::ModelDir { path: models, source })?;
    let (causes, inbox) = mpsc::channel(CAUSES);
    let mut probes = start_probes(&config, &node, &causes);
    tracing::info!(program = %settings.program.display(), threads = settings.threads, "the worker runs models");
    match settings.confine {
        true => tracing::info!("runners are confined: {}", confinement_here()),
        false => tracing::warn!("runners may reach whatever this user may: `runner.confine` = false"),
    }
    let host = RunnerHost::new()?.with_identity(identity);
    let processors = (config.engine.threads > 0).then_some(settings.threads);
    let host = Arc::new(ScopedHost::new(host, settings.memory_limit, processors).await);
    let (info, resources) = (node_info(&config), exo_hardware::resources(config.runner.memory_reserve));
    let machine = Machine { settings, info, resources, host };
    let (busy, is_busy) = watch::channel(false);
    probes.spawn(keep_awake(is_busy));
    drive(bus, node, machine, status, (causes, inbox), busy, shutdown).await?;
    probes.shutdown().await;
    Ok(())
}

/// The same on a machine that is described instead of looked at, with models that stay as they are.
pub async fn run_over(
    bus: Bus,
    node: NodeHandle,
    machine: Machine,
    models: BTreeMap<ModelId, FoundModel>,
    status: ServiceStatus,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let (causes, inbox) = mpsc::channel(CAUSES);
    // The inbox is empty and this function holds it: there is room and somebody who listens.
    let _taken = causes.try_send(Cause::Models(models));
    let (busy, _nobody_asks) = watch::channel(false);
    drive(bus, node, machine, status, (causes, inbox), busy, shutdown).await
}

async fn drive(
    bus: Bus,
    node: NodeHandle,
    machine: Machine,
    status: ServiceStatus,
    (causes, inbox): (mpsc::Sender<Cause>, mpsc::Receiver<Cause>),
    busy: watch::Sender<bool>,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let streams = bus.serve_streams(topics::GENERATE).await?;
    let Machine { settings, info, resources, host } = machine;
    let local = LocalNode {
        node_id: node.node_id().clone(),
        info,
        resources,
        hardware: None,
        downloads: Vec::new(),
        connections: BTreeSet::new(),
        runners: BTreeMap::new(),
    };
    let facts = node.facts();
    let report: Reporter = Box::new(move |event| facts.report(event));
    let view = node.view();
    let surroundings = Surroundings { settings, local, view, report, status: status.clone(), host, causes, busy };
    node.announce().await?;
    status.ready();
    let leaving = leave(node, shutdown.clone());
    let driving = Driver::new(surroundings).run(inbox, streams, shutdown);
    tokio::join!(driving, leaving);
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

fn start_probes(config: &Config, node: &NodeHandle, causes: &mpsc::Sender<Cause>) -> JoinSet<()> {
    let networking = &config.networking;
    let own = Neighbourhood {
        node_id: node.node_id().clone(),
        addresses: addresses(config),
        loopback_only: networking.loopback_only,
        ports: vec![networking.cluster_port, networking.worker_port],
    };
    let mut probes = JoinSet::new();
    probes.spawn(watch_resources(config.runner.memory_reserve, causes.clone()));
    probes.spawn(watch_hardware(causes.clone()));
    probes.spawn(watch_models(model_store(config), causes.clone()));
    probes.spawn(watch_peers(own, node.view(), causes.clone()));
    probes
}
