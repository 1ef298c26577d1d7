//! One runner process and what is known of it.

use crate::cause::Life;
use crate::liveness::{Hang, Liveness};
use exo_runner_host::{ExitReport, HostMessage, Load, Runner};
use exo_types::{ErrorChunk, ErrorCode, RunnerFailure};
use std::time::{Duration, Instant};

/// A runner that was ready for so long has no losses in a row any more.
const STABLE: Duration = Duration::from_secs(60);

/// A process, from the order to start it until its end.
pub(crate) struct Supervised {
    pub(crate) life: Life,
    /// None until it is started.
    process: Option<Runner>,
    pub(crate) liveness: Liveness,
    load: Load,
    losses: u32,
    ready_since: Option<Instant>,
    hang: Option<Hang>,
    killed: bool,
    /// What it said about its own end.
    confession: Option<(bool, String)>,
    /// Killed if it has not ended by then; set when it is to end.
    pub(crate) end_by: Option<Instant>,
}

impl Supervised {
    pub(crate) fn new(life: Life, load: Load, losses: u32, liveness: Liveness) -> Self {
        let (process, ready_since, hang, killed, confession, end_by) = (None, None, None, false, None, None);
        Self { life, process, liveness, load, losses, ready_since, hang, killed, confession, end_by }
    }

    /// The process is there: it loads.
    pub(crate) fn on_spawned(&mut self, runner: Runner) {
        let order = if self.end_by.is_some() { HostMessage::Shutdown } else { HostMessage::Load(self.load.clone()) };
        self.process = Some(runner);
        self.send(order);
        if self.killed {
            self.kill();
        }
    }

    pub(crate) fn on_ready(&mut self, now: Instant) {
        self.ready_since = Some(now);
    }

    pub(crate) fn on_failed(&mut self, retry: bool, message: String) {
        self.confession = Some((retry, message));
    }

    /// Hands over a message. One that is not taken is for a process that ended, or that is about to be found hung.
    pub(crate) fn send(&mut self, message: HostMessage) -> bool {
        let name = message.name();
        let Some(process) = &self.process else { return false };
        match process.send(message) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(message = name, %error, "not sent to the runner");
                false
            }
        }
    }

    pub(crate) fn shut_down(&mut self, end_by: Instant) {
        self.send(HostMessage::Shutdown);
        self.end_by = Some(end_by);
    }

    /// Asks, and kills what does not move. Tells of a hang once.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Hang> {
        if self.killed {
            return None;
        }
        if let Some(end_by) = self.end_by {
            if end_by <= now {
                self.kill();
            }
            return None;
        }
        self.process.as_ref()?;
        self.hang = self.liveness.hang(now);
        if self.hang.is_some() {
            self.kill();
        } else if self.liveness.poll_ping(now) {
            self.send(HostMessage::Ping);
        }
        self.hang
    }

    fn kill(&mut self) {
        self.killed = true;
        if let Some(process) = &self.process {
            process.kill();
        }
    }

    /// When to look again; nothing is to be seen of one that is not started yet, or that was killed.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let is_running = self.process.is_some().then(|| self.liveness.next_look());
        if self.killed { None } else { self.end_by.or(is_running) }
    }

    /// What its end means to those whose requests it had.
    pub(crate) fn error(&self, report: &ExitReport) -> ErrorChunk {
        let (code, what) = match (&self.hang, &self.confession) {
            (Some(hang), _) => (ErrorCode::RunnerHung, hang.to_string()),
            (None, Some((_, message))) => (ErrorCode::RunnerLost, message.clone()),
            (None, None) => (ErrorCode::RunnerLost, format!("the runner {report}")),
        };
        ErrorChunk { code, message: format!("{what}; it is being replaced, ask again") }
    }

    /// What its end means to the cluster.
    pub(crate) fn failure(&self, now: Instant, report: &ExitReport) -> RunnerFailure {
        let was_stable = self.ready_since.is_some_and(|since| now.saturating_duration_since(since) >= STABLE);
        let losses = if was_stable { 0 } else { self.losses };
        let (retry, error_message) = match (&self.hang, &self.confession) {
            (Some(hang), _) => (true, hang.to_string()),
            (None, Some((retry, message))) => (*retry, message.clone()),
            (None, None) => (true, told(report)),
        };
        RunnerFailure { error_message, attempt: losses.saturating_add(1), retry }
    }

    /// The failure of one that could not even be started.
    pub(crate) fn stillborn(&self, error_message: String) -> RunnerFailure {
        RunnerFailure { error_message, attempt: self.losses.saturating_add(1), retry: true }
    }
}

fn told(report: &ExitReport) -> String {
    match report.last_words.last() {
        Some(line) => format!("the runner {report}; it said last: {line}"),
        None => format!("the runner {report}"),
    }
}
