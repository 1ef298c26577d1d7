//! The log on this machine's disk, while no master has it.

use super::LocalArgs;
use crate::error::CliError;
use crate::output::say;
use exo_log::{Summary, ToolError};
use exo_master::layout::{ARCHIVED, SessionLogs};
use exo_node::{DataDir, Role};
use exo_service::{CommonArgs, read_configuration};
use exo_types::{NodeId, SessionId};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The log of this machine. While this lives no exo-master starts here.
pub(crate) struct LocalLog {
    data_dir: DataDir,
    logs: SessionLogs,
    directory: PathBuf,
}

impl LocalLog {
    /// Finds it, and makes sure that nobody writes it.
    pub(crate) fn open(args: &LocalArgs) -> Result<Self, CliError> {
        let path = data_dir_of(args)?;
        if !path.is_dir() {
            return Err(CliError::NoLog(path));
        }
        let data_dir = DataDir::open(&path, Role::Master)?;
        let logs = SessionLogs::of(&path);
        let current = logs.current().map_err(CliError::system("cannot look for the log"))?;
        let directory = current.ok_or(CliError::NoLog(path))?;
        Ok(Self { data_dir, logs, directory })
    }

    /// The last events, as `exo log tail` shows them or as JSON.
    pub(super) fn tail(&self, lines: u64, json: bool) -> Result<(), CliError> {
        let limit = usize::try_from(lines).unwrap_or(usize::MAX);
        for event in exo_log::tail(&self.directory, limit)? {
            let event = serde_json::to_value(&event).unwrap_or(Value::Null);
            say(if json { event.to_string() } else { super::live::line(&event) })?;
        }
        Ok(())
    }

    pub(super) fn verify(&self) -> Result<(), CliError> {
        tell(&self.directory, &exo_log::verify(&self.directory)?)
    }

    pub(super) fn backup(&self, file: &Path) -> Result<(), CliError> {
        tell(file, &exo_log::export(&self.directory, file)?)
    }

    /// What is in it.
    pub(crate) fn summary(&self) -> Result<Summary, ToolError> {
        exo_log::verify(&self.directory)
    }

    /// This machine.
    pub(crate) fn node_id(&self) -> &NodeId {
        self.data_dir.node_id()
    }

    /// Begins a session from this log, with this machine's master alone.
    pub(crate) fn begin_anew(&self, session: &SessionId) -> Result<Summary, CliError> {
        let backup = self.logs.directory().join("recover.backup");
        // One that a recovery left behind which did not come to its end.
        let _ = std::fs::remove_file(&backup);
        exo_log::export(&self.directory, &backup)?;
        let begun = begin(&self.logs, &backup, session, self.node_id());
        let _ = std::fs::remove_file(&backup);
        begun
    }
}

/// Checks a backup.
pub(super) fn verify_backup(file: &Path) -> Result<(), CliError> {
    tell(file, &exo_log::read_backup(file)?.summary)
}

/// Begins a session from a backup.
pub(super) fn restore(args: &LocalArgs, file: &Path, replace: bool) -> Result<(), CliError> {
    let backup = exo_log::read_backup(file)?;
    let path = data_dir_of(args)?;
    let data_dir = DataDir::open(&path, Role::Master)?;
    let logs = SessionLogs::of(&path);
    let current = logs.current().map_err(CliError::system("cannot look for the log"))?;
    if let Some(directory) = current.as_ref().filter(|_| !replace) {
        return Err(CliError::LogInTheWay(directory.clone()));
    }
    // Larger than what is here too, if that can be read: else this machine's own past would win over the backup.
    let here = current.and_then(|directory| exo_log::verify(&directory).ok());
    let generations = [Some(&backup.summary), here.as_ref()].into_iter().flatten().map(generation_of);
    let generation = generations.max().unwrap_or_default() + 1;
    let session = SessionId { generation, master_node_id: data_dir.node_id().clone() };
    let summary = begin(&logs, file, &session, data_dir.node_id())?;
    say(format_args!(
        "session {session} goes on from event {}; start exo here, then its other masters: they join it",
        summary.last_event
    ))
}

/// The generation of its session.
pub(crate) fn generation_of(summary: &Summary) -> u64 {
    summary.session.as_ref().map_or(0, |session| session.generation)
}

fn begin(logs: &SessionLogs, backup: &Path, session: &SessionId, node: &NodeId) -> Result<Summary, CliError> {
    let directory = logs.begin(Some(session)).map_err(CliError::system("cannot make a directory for the log"))?;
    let restored = exo_log::restore(backup, &directory, session.clone(), node.clone(), exo_ambient::fresh_number());
    let summary = match restored {
        Ok(summary) => summary,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&directory);
            return Err(error.into());
        }
    };
    logs.set_current(&directory).map_err(CliError::system("cannot take the new log into use"))?;
    for old in logs.prune(ARCHIVED).map_err(CliError::system("cannot remove old logs"))? {
        say(format_args!("{} is removed: {ARCHIVED} old logs are kept", old.display()))?;
    }
    Ok(summary)
}

fn data_dir_of(args: &LocalArgs) -> Result<PathBuf, CliError> {
    let common = CommonArgs { config: args.config.clone(), data_dir: args.data_dir.clone(), ..CommonArgs::default() };
    Ok(read_configuration(&common)?.loaded.config.data_dir)
}

fn tell(place: &Path, summary: &Summary) -> Result<(), CliError> {
    let session = summary.session.as_ref().map_or_else(|| "none".to_owned(), SessionId::to_string);
    let events = match summary.first_event <= summary.last_event {
        true => format!("; {} to it are there as events", summary.first_event),
        false => String::new(),
    };
    let up_to = summary.last_event;
    say(format_args!("{}: good; session {session}, up to event {up_to}{events}", place.display()))
}
