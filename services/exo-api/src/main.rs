//! Service. The API: the HTTP edge of the cluster.

use clap::Parser;
use exo_api::{ApiContext, Args, run};
use exo_node::Role;
use exo_service::Process;
use std::process::ExitCode;

fn main() -> ExitCode {
    exo_service::run(Role::Api, &Args::parse().common, serve)
}

async fn serve(process: Process) -> Result<(), exo_api::StartError> {
    let Process { config, bus, node, notifier, reloads, shutdown, .. } = process;
    let status = notifier.service("api");
    run(ApiContext { config, bus, node, status }, &reloads, shutdown).await
}
