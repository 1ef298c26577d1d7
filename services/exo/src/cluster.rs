//! `exo cluster`: what concerns the cluster as a whole. One file for each verb.

mod recover;

use crate::error::CliError;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Begin a new session from this machine's log, without the other masters
    ///
    /// For a cluster of three or more masters that has lost its majority for good: the rest accepts no command then, by
    /// design, since the others might live on elsewhere. Stop exo here first. Events that only the lost masters had are
    /// lost. Masters of the old session that come back later put their log into the archive and join the new one.
    #[command(after_help = "Examples:
  systemctl stop exo.target && exo cluster recover --yes && systemctl start exo.target")]
    Recover(recover::RecoverArgs),
}

/// Does it.
pub(crate) async fn run(command: ClusterCommand) -> Result<(), CliError> {
    match command {
        ClusterCommand::Recover(args) => recover::run(&args),
    }
}
