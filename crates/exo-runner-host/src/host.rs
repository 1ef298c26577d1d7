//! Starts children.

use crate::confine::{Confinement, Limits};
use crate::keeper::Keeper;
use crate::process::Process;
use crate::runner::{Ends, Runner, RunnerEvents, supervise};
use exo_identity::Identity;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Messages that may wait in each direction.
const CHANNEL: usize = 256;

/// A child that is not forked by then never will be.
const FORK_DEADLINE: Duration = Duration::from_secs(10);

/// Variables that a child inherits; everything else of the host's environment stays here, secrets too.
const INHERITED: [&str; 8] =
    ["PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "RUST_LOG"];

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerProgram {
    /// The file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Name in log lines.
    pub name: String,
    /// Bounds.
    pub limits: Limits,
    /// What it may reach; everything that this process may, if none is given.
    pub confinement: Option<Confinement>,
}

/// Why a child was not started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// No such program, or not to be run.
    #[error("cannot start {program}: {source}; set runner.program to the file of exo-runner")]
    Program {
        /// The file.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused a socket, a pipe or a descriptor.
    #[error("cannot set up a runner: {0}")]
    System(#[from] io::Error),
    /// The system did not answer.
    #[error("the system did not start {program} within {FORK_DEADLINE:?}")]
    Late {
        /// The file.
        program: PathBuf,
    },
}

/// Starts runners, and owns the thread and the tasks behind them.
#[derive(Clone)]
pub struct RunnerHost {
    keeper: Keeper,
    tasks: TaskTracker,
    identity: Option<Identity>,
}

impl RunnerHost {
    /// Starts the thread that forks.
    pub fn new() -> io::Result<Self> {
        Ok(Self { keeper: Keeper::start()?, tasks: TaskTracker::new(), identity: None })
    }

    /// Hands this identity to every child, over the socket that it inherits, and its changes. Without one a child can
    /// hold a model alone.
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// Starts a child. It ends when the returned [`Runner`] is dropped, or this process ends in any way. What it prints
    /// is logged in the span that is current now.
    pub async fn spawn(&self, what: RunnerProgram) -> Result<(Runner, RunnerEvents), SpawnError> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let command = command(&what, theirs.into());
        let forked = timeout(FORK_DEADLINE, self.keeper.spawn(command, what.limits, what.confinement)).await;
        let child = match forked {
            Ok(Ok(child)) => child,
            Ok(Err(source)) => return Err(SpawnError::Program { program: what.program, source }),
            Err(_) => return Err(SpawnError::Late { program: what.program }),
        };
        Ok(self.supervise(child, ours, what.name)?)
    }

    fn supervise(&self, mut child: Child, socket: UnixStream, name: String) -> io::Result<(Runner, RunnerEvents)> {
        let pipes = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
        let process = Arc::new(Process::watch(child, self.keeper.clone())?);
        let (Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the child came without its pipes"));
        };
        let (reader, writer) = tokio::net::UnixStream::from_std(socket)?.into_split();
        let stdout = pipe::Receiver::from_owned_fd(stdout)?;
        let stderr = pipe::Receiver::from_owned_fd(stderr)?;
        let (outbox, to_send) = mpsc::channel(CHANNEL);
        let (heard, events) = mpsc::channel(CHANNEL);
        let ends = Ends { reader, writer, stdout, stderr, identity: self.identity.clone() };
        let supervise = supervise(process.clone(), name, ends, to_send, heard);
        self.tasks.spawn(supervise.in_current_span());
        Ok((Runner::new(process, outbox), RunnerEvents::new(events)))
    }

    /// Waits until every child whose handle was dropped is gone.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

fn command(what: &RunnerProgram, socket: OwnedFd) -> Command {
    let mut command = Command::new(&what.program);
    command.args(&what.args).stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_clear().current_dir("/");
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}
