//! `exo log`: what is in the log of the cluster, on this machine's disk, or in a backup.

mod live;
mod offline;

use crate::cli::ApiArgs;
use crate::error::CliError;
use clap::{Args, Subcommand};
pub(crate) use offline::{LocalLog, generation_of};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show the last events, and with --follow those that happen
    #[command(after_help = "Examples:
  exo log tail --follow
  exo log tail -n 100 --json | jq .event
  exo log tail --offline         of this machine's disk; stop exo-master first")]
    Tail {
        #[command(flatten)]
        api: ApiArgs,
        #[command(flatten)]
        local: LocalArgs,
        /// So many events
        #[arg(short = 'n', long = "lines", default_value_t = 20, value_name = "N")]
        lines: u64,
        /// From that event on, by its index
        #[arg(long, value_name = "INDEX", conflicts_with = "offline")]
        since: Option<u64>,
        /// Go on until Ctrl-C; a stream that breaks is taken up where it broke
        #[arg(short, long, conflicts_with = "offline")]
        follow: bool,
        /// One JSON object on each line
        #[arg(long)]
        json: bool,
        /// Read this machine's disk instead of asking an api
        #[arg(long)]
        offline: bool,
    },
    /// Print every event that is kept, one JSON object on each line
    ///
    /// Older events were folded into the State and are not kept; `exo status --json` has what they made.
    Export {
        #[command(flatten)]
        api: ApiArgs,
        #[command(flatten)]
        local: LocalArgs,
        /// Read this machine's disk instead of asking an api
        #[arg(long)]
        offline: bool,
    },
    /// Check every record on this machine's disk, or in a backup; changes nothing
    #[command(after_help = "Examples:\n  exo log verify\n  exo log verify --backup exo.backup")]
    Verify {
        #[command(flatten)]
        local: LocalArgs,
        /// Check this backup instead
        #[arg(long, value_name = "FILE")]
        backup: Option<PathBuf>,
    },
    /// Write a backup of the cluster's State to a file
    ///
    /// Of the running cluster, through an api; with --offline of the log on this machine's disk, with the events that are
    /// kept. Join tokens in it are of no use to whoever finds it, but it tells everything that `exo status` does.
    #[command(after_help = "Examples:\n  exo log backup exo.backup\n  exo log backup exo.backup --offline")]
    Backup {
        #[command(flatten)]
        api: ApiArgs,
        #[command(flatten)]
        local: LocalArgs,
        /// The file; must not exist
        file: PathBuf,
        /// Read this machine's disk instead of asking an api
        #[arg(long)]
        offline: bool,
    },
    /// Begin a new session on this machine from a backup
    ///
    /// Its generation is one larger than the backup's, so that masters of the old session that come back join it. What
    /// happened after the backup is lost; models that it has placed are placed again where they fit.
    #[command(after_help = "Examples:
  systemctl stop exo.target && exo log restore exo.backup && systemctl start exo.target")]
    Restore {
        #[command(flatten)]
        local: LocalArgs,
        /// The backup
        file: PathBuf,
        /// Put the log that is on this machine's disk into the archive
        #[arg(long)]
        replace: bool,
    },
}

/// Where the log of this machine is.
#[derive(Debug, Clone, Args)]
pub(crate) struct LocalArgs {
    /// Configuration file, for its data directory
    #[arg(long, value_name = "FILE", env = "EXO_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Directory with the node's id, log and models
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Does it.
pub(crate) async fn run(command: LogCommand) -> Result<(), CliError> {
    match command {
        LogCommand::Tail { local, lines, json, offline: true, .. } => LocalLog::open(&local)?.tail(lines, json),
        LogCommand::Tail { api, lines, since, follow, json, .. } => {
            live::tail(&api.client(), live::Tail { lines, since, follow, json }).await
        }
        LogCommand::Export { local, offline: true, .. } => LocalLog::open(&local)?.tail(u64::MAX, true),
        LogCommand::Export { api, .. } => live::export(&api.client()).await,
        LogCommand::Verify { backup: Some(file), .. } => offline::verify_backup(&file),
        LogCommand::Verify { local, backup: None } => LocalLog::open(&local)?.verify(),
        LogCommand::Backup { local, file, offline: true, .. } => LocalLog::open(&local)?.backup(&file),
        LogCommand::Backup { api, file, .. } => live::backup(&api.client(), &file).await,
        LogCommand::Restore { local, file, replace } => offline::restore(&local, &file, replace),
    }
}
