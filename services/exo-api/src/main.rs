//! Service. The API: the HTTP edge of the cluster.

use clap::Parser;
use exo_api::{ApiContext, run};
use exo_node::Role;
use exo_service::{CommonArgs, Process};
use std::process::ExitCode;

/// The HTTP edge of an exo cluster: OpenAI's API and exo's own.
///
/// Runs beside exo-master and exo-worker on a node, or alone on a machine that only serves clients.
/// Everything can be set in the configuration file; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  exo-api --api-port 8080\n  exo-api --check-config\n  exo-api --set networking.peers=10.0.0.7:52414"
)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

fn main() -> ExitCode {
    exo_service::run(Role::Api, &Args::parse().common, serve)
}

async fn serve(process: Process) -> Result<(), exo_api::StartError> {
    let Process { config, bus, node, notifier, reloads, shutdown, .. } = process;
    let status = notifier.service("api");
    run(ApiContext { config, bus, node, status }, &reloads, shutdown).await
}
