//! Service. The master: orders commands into events and decides placement.

use clap::Parser;
use exo_master::{AdmissionDesk, Args, MasterContext, MasterError, run};
use exo_node::Role;
use exo_service::Process;
use std::process::ExitCode;

fn main() -> ExitCode {
    exo_service::run(Role::Master, &Args::parse().common, serve)
}

async fn serve(process: Process) -> Result<(), MasterError> {
    let Process { config, data_dir, identity, bus, node, notifier, shutdown, .. } = process;
    let (status, cluster) = (notifier.service("master"), identity.cluster());
    let _desk = AdmissionDesk::open(identity, &bus, node.clone()).await?;
    run(MasterContext { config, data_dir, cluster, bus, node, status }, shutdown).await
}
