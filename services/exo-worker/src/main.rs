//! Service. The worker: makes its node match the State.

use clap::Parser;
use exo_node::Role;
use exo_service::{CommonArgs, Process};
use exo_worker::{WorkerContext, WorkerError, run};
use std::process::ExitCode;

/// Runs the models that the cluster places on this machine.
///
/// Each shard of a model is a process of its own (exo-runner), which is replaced when it crashes or hangs.
/// Everything can be set in the configuration file; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  exo-worker --set models.dirs=/srv/models\n  exo-worker --check-config\n  exo-worker --set networking.peers=10.0.0.7:52414"
)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

fn main() -> ExitCode {
    exo_service::run(Role::Worker, &Args::parse().common, work)
}

async fn work(process: Process) -> Result<(), WorkerError> {
    let Process { config, identity, bus, node, notifier, shutdown, .. } = process;
    let status = notifier.service("worker");
    run(WorkerContext { config, bus, identity, node, status }, shutdown).await
}
