//! What runner processes bring.

use super::{Driver, now};
use crate::cause::{Cause, Life};
use exo_runner_host::{ExitReport, HostMessage, Runner, RunnerEvent, RunnerEvents, RunnerMessage, SpawnError};
use exo_types::{RequestId, RunnerFailure, RunnerId, RunnerStatus, StreamChunk};

impl Driver {
    pub(super) fn on_spawned(
        &mut self,
        runner_id: RunnerId,
        life: Life,
        spawned: Result<(Runner, RunnerEvents), SpawnError>,
    ) -> bool {
        let Some(supervised) = self.runners.get_mut(&runner_id).filter(|supervised| supervised.life == life) else {
            // Not wanted any more: dropped, and so killed.
            return false;
        };
        match spawned {
            Ok((runner, events)) => {
                tracing::debug!(runner = %runner_id, pid = runner.pid(), "a runner was started");
                supervised.on_spawned(runner);
                let causes = self.around.causes.clone();
                self.tasks.spawn(pump(runner_id, life, events, causes));
                false
            }
            Err(error) => {
                tracing::error!(runner = %runner_id, %error, "a runner was not started");
                let failure = supervised.stillborn(error.to_string());
                self.end_runner(&runner_id, failure);
                true
            }
        }
    }

    pub(super) fn on_runner(&mut self, runner_id: RunnerId, life: Life, event: RunnerEvent) -> bool {
        let Some(supervised) = self.runners.get_mut(&runner_id).filter(|supervised| supervised.life == life) else {
            return false;
        };
        match event {
            RunnerEvent::Message(message) => {
                supervised.liveness.on_message();
                self.on_message(&runner_id, message)
            }
            RunnerEvent::Exited(report) => {
                self.on_exited(&runner_id, &report);
                true
            }
        }
    }

    fn on_message(&mut self, runner_id: &RunnerId, message: RunnerMessage) -> bool {
        let Some(supervised) = self.runners.get_mut(runner_id) else { return false };
        match message {
            RunnerMessage::Chunk { request_id, chunk } => {
                self.on_chunk(runner_id, request_id, chunk);
                false
            }
            RunnerMessage::Progress { steps, busy } => {
                supervised.liveness.on_progress(now(), steps, busy);
                false
            }
            RunnerMessage::Loading { layers_loaded, total_layers } => {
                self.set_status(runner_id, RunnerStatus::RunnerLoading { layers_loaded, total_layers })
            }
            RunnerMessage::Loaded { tensor_endpoint, incarnation } => {
                supervised.liveness.on_loaded(now());
                self.set_status(runner_id, RunnerStatus::RunnerLoaded { tensor_endpoint, incarnation })
            }
            RunnerMessage::Ready { incarnation } => {
                supervised.on_ready(now());
                self.set_status(runner_id, RunnerStatus::RunnerReady { incarnation })
            }
            RunnerMessage::Failed { retry, message } => {
                tracing::error!(runner = %runner_id, retry, "{message}");
                supervised.on_failed(retry, message);
                false
            }
        }
    }

    fn on_chunk(&mut self, runner_id: &RunnerId, request_id: RequestId, chunk: StreamChunk) {
        if !self.answers.push(&request_id, chunk) {
            self.send(runner_id, HostMessage::Cancel { request_id });
        }
    }

    fn on_exited(&mut self, runner_id: &RunnerId, report: &ExitReport) {
        let Some(supervised) = self.runners.get(runner_id) else { return };
        let (error, failure) = (supervised.error(report), supervised.failure(now(), report));
        self.answers.end_of_runner(runner_id, &error);
        self.end_runner(runner_id, failure);
    }

    /// The process is gone: as it was told to, or as a loss.
    fn end_runner(&mut self, runner_id: &RunnerId, failure: RunnerFailure) {
        self.runners.remove(runner_id);
        let is_wanted = |status: &RunnerStatus| *status != RunnerStatus::RunnerShuttingDown;
        match self.around.local.runners.get(runner_id) {
            Some(local) if is_wanted(&local.status) => {
                let (instance, attempt) = (&local.instance_id, failure.attempt);
                tracing::warn!(%instance, runner = %runner_id, attempt, "a runner was lost: {}", failure.error_message);
                self.set_status(runner_id, RunnerStatus::RunnerFailed { failure });
            }
            _ => {
                self.around.local.runners.remove(runner_id);
            }
        }
    }

    /// True: the plan has to be made again. One that is ending stays so, whatever it still says.
    pub(super) fn set_status(&mut self, runner_id: &RunnerId, status: RunnerStatus) -> bool {
        let Some(local) = self.around.local.runners.get_mut(runner_id) else { return false };
        if local.status == RunnerStatus::RunnerShuttingDown || local.status == status {
            return false;
        }
        (local.status, local.since) = (status, now());
        true
    }
}

/// Brings the events of one process to the driver. When the driver is busy the process waits.
async fn pump(runner_id: RunnerId, life: Life, mut events: RunnerEvents, causes: tokio::sync::mpsc::Sender<Cause>) {
    while let Some(event) = events.next().await {
        if causes.send(Cause::Runner(runner_id.clone(), life, event)).await.is_err() {
            return;
        }
    }
}
