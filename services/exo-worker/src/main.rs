//! Service. The worker: makes its node match the State.

use clap::Parser;
use exo_node::Role;
use exo_service::Process;
use exo_worker::{Args, WorkerContext, WorkerError, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    exo_service::run(Role::Worker, &Args::parse().common, work)
}

async fn work(process: Process) -> Result<(), WorkerError> {
    let Process { config, identity, bus, node, notifier, shutdown, .. } = process;
    let status = notifier.service("worker");
    run(WorkerContext { config, bus, identity, node, status }, shutdown).await
}
