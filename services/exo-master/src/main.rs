//! Service. The master: orders commands into events and decides placement.

use clap::Parser;
use exo_master::{AdmissionDesk, MasterContext, MasterError, run};
use exo_node::Role;
use exo_service::{CommonArgs, Process};
use std::process::ExitCode;

/// Orders commands into events and decides where models are placed.
///
/// One master leads a cluster; others stand by. Placed models go on without one.
/// Everything can be set in the configuration file; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  exo-master --check-config\n  exo-master --data-dir /var/lib/exo\n  exo-master --set election.seniority=10"
)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

fn main() -> ExitCode {
    exo_service::run(Role::Master, &Args::parse().common, serve)
}

async fn serve(process: Process) -> Result<(), MasterError> {
    let Process { config, data_dir, identity, bus, node, notifier, shutdown, .. } = process;
    let status = notifier.service("master");
    let _desk = AdmissionDesk::open(identity, &bus, node.clone()).await?;
    run(MasterContext { config, data_dir, bus, node, status }, shutdown).await
}
