//! The life of a process.

use crate::admission::{keep_identity, open_identity};
use crate::bus::{port, settings};
use crate::reload::Reloader;
use crate::sleep::Sleep;
use crate::{CommonArgs, Configuration, Reloads, read_configuration};
use exo_bus::{Bus, BusError};
use exo_config::{Config, LogFormat, print};
use exo_identity::{Identity, IdentityError};
use exo_node::{DataDir, DataDirError, JoinError, Node, NodeHandle, Role, View};
use exo_telemetry::{LogOptions, Logs, Notifier, TelemetryError};
use exo_types::{NodeId, SessionId};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// sysexits' EX_USAGE: systemd's `RestartPreventExitStatus=64` keeps a bad configuration from restarting for ever.
const BAD_CONFIGURATION: u8 = 64;
/// How long a service may drain: longer than any of its own limits, shorter than systemd's 90 s.
const DRAIN: Duration = Duration::from_secs(20);
/// As long before the machine sleeps: logind waits for five seconds.
const BEFORE_SLEEP: Duration = Duration::from_secs(3);
/// How long leaving the bus may take; the others notice a lost process anyway.
const LEAVE: Duration = Duration::from_secs(2);

/// Everything that a service works with.
pub struct Process {
    /// The configuration in effect.
    pub config: Arc<Config>,
    /// The directory of the node, locked for this process.
    pub data_dir: Arc<DataDir>,
    /// Who this node is, by its certificate.
    pub identity: Identity,
    /// The bus.
    pub bus: Bus,
    /// This process's place in the cluster.
    pub node: NodeHandle,
    /// systemd, if it started us. Register every service before the first is ready.
    pub notifier: Notifier,
    /// Takes who wants to know of a changed configuration.
    pub reloads: Reloads,
    /// Cancelled by SIGTERM and SIGINT; the service then drains.
    pub shutdown: CancellationToken,
}

/// How a service came to its end.
enum End<E> {
    /// For good.
    Over(Result<(), E>),
    /// Until the machine wakes.
    Asleep,
}

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No logs.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// No data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// No place in the cluster.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The operating system refuses something that every process has.
    #[error("the process cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Telemetry(_) | Self::Bus(BusError::Config { .. }) => ExitCode::from(BAD_CONFIGURATION),
            // Another try would be refused as well: somebody has to look.
            Self::Identity(
                IdentityError::Token(_)
                | IdentityError::Namespace(_)
                | IdentityError::OtherCluster { .. }
                | IdentityError::Damaged { .. }
                | IdentityError::Join(exo_identity::JoinError::Refused { .. }),
            ) => ExitCode::from(BAD_CONFIGURATION),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Reads the configuration and does what the arguments ask of it; an exit code when that was all.
pub fn configure(args: &CommonArgs) -> Result<Configuration, ExitCode> {
    match read_configuration(args) {
        Ok(configuration) if args.print_config => {
            print!("{}", print(&configuration.loaded));
            Err(ExitCode::SUCCESS)
        }
        Ok(configuration) if args.check_config => {
            println!("the configuration is good ({})", configuration.source);
            Err(ExitCode::SUCCESS)
        }
        Ok(configuration) => Ok(configuration),
        Err(error) => {
            eprintln!("{error}");
            Err(ExitCode::from(BAD_CONFIGURATION))
        }
    }
}

/// A whole `main`: reads the configuration, starts the process, runs the service until it ends or a signal comes, drains,
/// and leaves. 0 after an orderly end, 64 for a bad configuration, 1 for anything else. Before the machine sleeps the
/// service drains and leaves too; when it wakes the service is begun anew.
pub fn run<E: std::error::Error + Send + 'static>(role: Role, args: &CommonArgs, service: impl Service<E>) -> ExitCode {
    match configure(args) {
        Ok(configuration) => run_with(role, configuration, service),
        Err(code) => code,
    }
}

/// As [`run`], with a configuration that was read before.
pub fn run_with<E: std::error::Error + Send + 'static>(
    role: Role,
    configuration: Configuration,
    service: impl Service<E>,
) -> ExitCode {
    match run_checked(role, configuration, service) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            complain(&error);
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&error);
            error.exit_code()
        }
    }
}

/// To the log, which may not be set up yet, or not be where the person looks; and into `systemctl status`, where it
/// stays until the next start.
fn complain(error: &dyn std::error::Error) {
    Notifier::from_environment().failed(&error.to_string());
    match tracing::enabled!(tracing::Level::ERROR) {
        true => tracing::error!("{error}"),
        false => eprintln!("{error}"),
    }
}

fn run_checked<E: std::error::Error + Send + 'static>(
    role: Role,
    configuration: Configuration,
    service: impl Service<E>,
) -> Result<Result<(), E>, StartError> {
    let config = Arc::new(configuration.loaded.config.clone());
    let logs = exo_telemetry::init(identifier(role), &log_options(&config))?;
    for warning in &configuration.loaded.warnings {
        tracing::warn!("{warning}");
    }
    let data_dir = Arc::new(DataDir::open(&config.data_dir, role)?);
    let identity = open_identity(&config, role, &data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut sleep = Sleep::watch().await;
        loop {
            let (config, data_dir) = (config.clone(), data_dir.clone());
            let process = start(role, &configuration.source, config, data_dir, identity.clone()).await?;
            let notifier = process.notifier.clone();
            let reloader = Reloader {
                args: configuration.args.clone(),
                running: process.config.clone(),
                logs: logs.clone(),
                notifier: notifier.clone(),
                reloads: process.reloads.clone(),
            };
            match supervise(process, logs.clone(), reloader, &mut sleep, &service).await {
                End::Over(result) => return Ok(result),
                End::Asleep => sleep.sleep_through(&notifier).await,
            }
        }
    });
    runtime.shutdown_timeout(LEAVE);
    result
}

async fn start(
    role: Role,
    source: &str,
    config: Arc<Config>,
    data_dir: Arc<DataDir>,
    identity: Identity,
) -> Result<Process, StartError> {
    let node_id = data_dir.node_id();
    let version = env!("CARGO_PKG_VERSION");
    let (networking, api) = (&config.networking, &config.api);
    tracing::info!(
        "exo {version} ({role}), node {node_id}, configuration {source}, bus port {}, api {}:{}",
        port(networking, role),
        api.bind,
        api.port
    );
    let notifier = Notifier::from_environment();
    let shutdown = CancellationToken::new();
    let bus = settings(&config, role, identity.clone()).join().await?;
    let node = Node::join(&bus, data_dir.identity()).await?;
    Ok(Process { config, data_dir, identity, bus, node, notifier, reloads: Reloads::default(), shutdown })
}

async fn supervise<E: Send + 'static>(
    process: Process,
    logs: Logs,
    reloader: Reloader,
    sleep: &mut Sleep,
    service: &impl Service<E>,
) -> End<E> {
    let (bus, node, shutdown) = (process.bus.clone(), process.node.clone(), process.shutdown.clone());
    let notifier = process.notifier.clone();
    let mut keeper = JoinSet::new();
    let (identity, data_dir) = (process.identity.clone(), process.data_dir.clone());
    keeper.spawn(keep_identity(identity, data_dir, bus.clone(), node.clone(), shutdown.clone()));
    keeper.spawn(label_logs(logs, node.node_id().clone(), node.view()));
    keeper.spawn(reloader.run(shutdown.clone()));
    let end = {
        // A task: the thread that began the runtime is none of its workers, and each wake of what it runs costs a switch.
        let mut running = JoinSet::new();
        running.spawn(service(process));
        let mut is_asleep = false;
        let deadline = async {
            let drain = tokio::select! {
                biased;
                () = wait_for_signal(&shutdown) => {
                    notifier.stopping();
                    DRAIN
                }
                () = sleep.falls_asleep() => {
                    tracing::info!("the machine falls asleep: leaving the cluster");
                    is_asleep = true;
                    BEFORE_SLEEP
                }
            };
            shutdown.cancel();
            tokio::time::sleep(drain).await;
            tracing::warn!("draining took longer than {drain:?}; what is open is cut");
        };
        let result = tokio::select! {
            biased;
            Some(ended) = running.join_next() => ended.unwrap_or_else(|error| resume_unwind(error.into_panic())),
            () = deadline => Ok(()),
        };
        match result {
            Ok(()) if is_asleep => End::Asleep,
            result => End::Over(result),
        }
    };
    shutdown.cancel();
    keeper.shutdown().await;
    let leave = async {
        node.leave().await;
        bus.close().await;
    };
    if tokio::time::timeout(LEAVE, leave).await.is_err() {
        tracing::debug!("leaving the bus took too long");
    }
    end
}

/// What a process runs: a function that is given the process and returns when the service has ended.
pub trait Service<E>: Fn(Process) -> Self::Running {
    /// The service while it runs.
    type Running: Future<Output = Result<(), E>> + Send + 'static;
}

impl<E, F, R> Service<E> for F
where
    F: Fn(Process) -> R,
    R: Future<Output = Result<(), E>> + Send + 'static,
{
    type Running = R;
}

/// Has every line in the journal say which node speaks, and in which session.
async fn label_logs(logs: Logs, node_id: NodeId, mut view: watch::Receiver<View>) {
    let mut told: Option<Option<SessionId>> = None;
    loop {
        let session = view.borrow_and_update().session.clone();
        if told.as_ref() != Some(&session) {
            let text = session.as_ref().map(ToString::to_string);
            let session_field = text.as_deref().map(|session| ("EXO_SESSION", session));
            let fields: Vec<_> = std::iter::once(("EXO_NODE", node_id.as_str())).chain(session_field).collect();
            logs.set_fields(&fields);
            told = Some(session);
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// Until SIGTERM, SIGINT, or until the service itself asked for the end.
async fn wait_for_signal(shutdown: &CancellationToken) {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        tracing::warn!("signals cannot be caught; only SIGKILL ends this process");
        return shutdown.cancelled().await;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        () = shutdown.cancelled() => {}
    }
}

fn identifier(role: Role) -> &'static str {
    match role {
        Role::Master => "exo-master",
        Role::Worker => "exo-worker",
        Role::Api => "exo-api",
        Role::All => "exo",
    }
}

fn log_options(config: &Config) -> LogOptions {
    let format = match config.logging.format {
        LogFormat::Auto => exo_telemetry::LogFormat::Auto,
        LogFormat::Text => exo_telemetry::LogFormat::Text,
        LogFormat::Json => exo_telemetry::LogFormat::Json,
    };
    LogOptions { level: config.logging.level.clone(), format }
}
