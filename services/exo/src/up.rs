//! `exo up`: all roles in one process.

use crate::cli::UpArgs;
use exo_api::ApiContext;
use exo_config::Mode;
use exo_master::{AdmissionDesk, MasterContext, MasterError};
use exo_node::Role;
use exo_service::{Process, configure, run_with};
use exo_worker::WorkerContext;
use std::io::Read;
use std::process::ExitCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Which service failed, and why.
#[derive(Debug, thiserror::Error)]
enum UpError {
    #[error(transparent)]
    Master(#[from] MasterError),
    #[error(transparent)]
    Worker(#[from] exo_worker::WorkerError),
    #[error(transparent)]
    Api(#[from] exo_api::StartError),
    #[error("a service ended by a defect: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Runs until Ctrl-C or SIGTERM.
pub(crate) fn run(args: UpArgs) -> ExitCode {
    let UpArgs { mut common, mode, models, until_stdin_closes } = args;
    if let Some(mode) = mode {
        common.settings.push(("mode", mode));
    }
    if !models.is_empty() {
        common.settings.push(("models.dirs", join(&models)));
    }
    let configuration = match configure(&common) {
        Ok(configuration) => configuration,
        Err(code) => return code,
    };
    let role = match configuration.loaded.config.mode {
        Mode::Auto => Role::All,
        Mode::Master => Role::Master,
        Mode::Worker => Role::Worker,
    };
    run_with(role, configuration, move |process: Process| {
        if until_stdin_closes {
            end_with_stdin(process.shutdown.clone());
        }
        serve(role, process)
    })
}

/// As the environment would write them: absolute, separated by colons.
fn join(paths: &[std::path::PathBuf]) -> String {
    let absolute = paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    absolute.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

/// One task for each service. When one ends, for whatever reason, the others are asked to end too.
async fn serve(role: Role, process: Process) -> Result<(), UpError> {
    let Process { config, data_dir, identity, bus, node, notifier, reloads, shutdown } = process;
    let mut services: JoinSet<Result<(), UpError>> = JoinSet::new();
    // All are registered before the first can be ready.
    let parts: Vec<_> = role.parts().iter().map(|part| (*part, notifier.service(part.as_str()))).collect();
    for (part, status) in parts {
        let (config, bus, node, shutdown) = (config.clone(), bus.clone(), node.clone(), shutdown.clone());
        match part {
            Role::Master => {
                let (data_dir, cluster) = (data_dir.clone(), identity.cluster());
                let context = MasterContext { config, data_dir, cluster, bus, node, status };
                let desk = AdmissionDesk::open(identity.clone(), &context.bus, context.node.clone()).await;
                let desk = desk.map_err(MasterError::from)?;
                services.spawn(async move {
                    let result = exo_master::run_beside_others(context, shutdown).await;
                    drop(desk);
                    Ok(result?)
                });
            }
            Role::Worker => {
                let context = WorkerContext { config, bus, identity: identity.clone(), node, status };
                services.spawn(async move { Ok(exo_worker::run(context, shutdown).await?) });
            }
            Role::Api | Role::All => {
                let context = ApiContext { config, bus, node, status };
                let reloads = reloads.clone();
                services.spawn(async move { Ok(exo_api::run(context, &reloads, shutdown).await?) });
            }
        }
    }
    let mut first_error = Ok(());
    while let Some(ended) = services.join_next().await {
        shutdown.cancel();
        let result = ended.map_err(UpError::from).and_then(|result| result);
        first_error = first_error.and(result);
    }
    first_error
}

/// A thread of its own: a read of standard input cannot be interrupted, and must not keep the runtime from ending.
fn end_with_stdin(shutdown: CancellationToken) {
    let wait = move || {
        let mut buffer = [0; 256];
        while std::io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
        shutdown.cancel();
    };
    if let Err(error) = std::thread::Builder::new().name("stdin".to_owned()).spawn(wait) {
        eprintln!("warning: standard input is not watched: {error}");
    }
}
