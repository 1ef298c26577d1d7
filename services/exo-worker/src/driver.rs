//! The driver: the only place where anything of the worker changes.

mod execute;
mod runners;

use crate::answers::{Answers, Stream};
use crate::cause::{Cause, Life};
use crate::settings::Settings;
use crate::supervised::Supervised;
use exo_bus::{IncomingStreams, RecvError};
use exo_models::FoundModel;
use exo_node::View;
use exo_plan::{LocalNode, MemoryNews, plan};
use exo_runner_host::{HostMessage, StartRunners};
use exo_telemetry::ServiceStatus;
use exo_types::{
    DownloadProgress, ErrorChunk, ErrorCode, Event, GenerateRequest, ModelId, NodeDownload, RunnerId, RunnerStatus,
    StreamChunk,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A runner that was told to end has so long.
const END_GRACE: Duration = Duration::from_secs(2);

/// What is killed and has not been reaped by then is the kernel's.
const REAP_DEADLINE: Duration = Duration::from_secs(5);

/// Takes facts; never waits.
pub(crate) type Reporter = Box<dyn Fn(Event) + Send>;

/// Streams as they come.
pub(crate) type Streams = IncomingStreams<GenerateRequest, StreamChunk>;

/// What the driver works with.
pub(crate) struct Surroundings {
    pub(crate) settings: Settings,
    pub(crate) local: LocalNode,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) report: Reporter,
    pub(crate) status: ServiceStatus,
    pub(crate) host: Arc<dyn StartRunners>,
    /// Probes and the driver's own tasks speak here.
    pub(crate) causes: mpsc::Sender<Cause>,
    /// Whether answers are under way.
    pub(crate) busy: watch::Sender<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The node is made to match the State.
    Serving,
    /// Nothing new begins; answers end until then.
    Draining(Instant),
    /// Runners end.
    Stopping,
}

/// The worker's state and hands.
pub(crate) struct Driver {
    around: Surroundings,
    runners: BTreeMap<RunnerId, Supervised>,
    answers: Answers,
    models: BTreeMap<ModelId, FoundModel>,
    memory: MemoryNews,
    tasks: TaskTracker,
    next_life: u64,
    phase: Phase,
    /// When a back-off ends.
    wake_at: Option<Instant>,
}

/// The clock of the runtime, so that tests can stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Driver {
    pub(crate) fn new(around: Surroundings) -> Self {
        let answers = Answers::new(around.causes.clone());
        let (runners, models, tasks) = (BTreeMap::new(), BTreeMap::new(), TaskTracker::new());
        let memory = MemoryNews::new(now());
        Self { around, runners, answers, models, memory, tasks, next_life: 1, phase: Phase::Serving, wake_at: None }
    }

    /// Works until `shutdown`; then answers end within their time, runners after them, and nothing is left.
    pub(crate) async fn run(
        mut self,
        mut causes: mpsc::Receiver<Cause>,
        mut streams: Streams,
        shutdown: CancellationToken,
    ) {
        let mut view = self.around.view.clone();
        let mut is_dirty = true;
        while !self.is_over() {
            if std::mem::take(&mut is_dirty) {
                self.match_state();
            }
            self.around.status.beat();
            self.tell_busy();
            let is_serving = self.phase == Phase::Serving;
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if is_serving => self.phase = Phase::Draining(now() + self.around.settings.drain),
                // Requests and the view are few; causes may come without end.
                stream = streams.recv() => self.on_stream(stream),
                changed = view.changed(), if is_serving => {
                    is_dirty = true;
                    if changed.is_err() {
                        self.phase = Phase::Draining(now());
                    }
                }
                Some(cause) = causes.recv() => {
                    is_dirty = self.on_cause(cause);
                    // However much comes in, the clock is looked at.
                    is_dirty |= self.next_look() <= now() && self.on_time();
                }
                () = sleep_until(self.next_look().into()) => is_dirty = self.on_time(),
            }
            self.move_on();
        }
        self.leave(causes).await;
    }

    /// Compares the State with what is here, and acts.
    fn match_state(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        let state = self.around.view.borrow().state.clone();
        let planned = plan(&state, &self.around.local, &self.around.settings.backoff, now());
        self.wake_at = planned.wake_at;
        for action in planned.actions {
            self.execute(action, &state);
        }
        self.tell_status();
    }

    fn tell_busy(&self) {
        let is_busy = self.answers.len() > 0;
        self.around.busy.send_if_modified(|busy| std::mem::replace(busy, is_busy) != is_busy);
    }

    fn tell_status(&self) {
        let runners = self.around.local.runners.values();
        let ready = runners.clone().filter(|runner| runner.status.is_ready()).count();
        let cluster = self.around.view.borrow().summary();
        self.around.status.set_status(format!("{ready} of {} runners ready; {cluster}", runners.count()));
    }

    /// True if the plan has to be made again.
    fn on_cause(&mut self, cause: Cause) -> bool {
        match cause {
            Cause::Spawned(runner_id, life, spawned) => self.on_spawned(runner_id, life, spawned),
            Cause::Runner(runner_id, life, event) => self.on_runner(runner_id, life, event),
            Cause::Unwanted(request_id, number) => {
                if let Some(runner_id) = self.answers.forget(&request_id, number) {
                    self.send(&runner_id, HostMessage::Cancel { request_id });
                }
                false
            }
            Cause::Hardware(hardware) => {
                let before = self.around.local.hardware.replace(hardware);
                before != self.around.local.hardware
            }
            Cause::Resources(resources) => {
                let is_news = self.memory.takes(now(), &self.around.local, resources);
                if is_news {
                    self.around.local.resources = resources;
                }
                is_news
            }
            Cause::Models(models) => self.on_models(models),
            Cause::Connections(connections) => {
                let is_news = self.around.local.connections != connections;
                self.around.local.connections = connections;
                is_news
            }
        }
    }

    fn on_models(&mut self, models: BTreeMap<ModelId, FoundModel>) -> bool {
        let node_id = &self.around.local.node_id;
        let downloads = models.values().map(|model| NodeDownload {
            node_id: node_id.clone(),
            progress: DownloadProgress::DownloadCompleted { total: model.card.storage_size },
            model_card: model.card.clone(),
        });
        self.around.local.downloads = downloads.collect();
        self.models = models;
        true
    }

    fn on_stream(&mut self, stream: Result<Stream, RecvError>) {
        let stream = match stream {
            Ok(stream) => stream,
            Err(RecvError::Closed) => {
                self.phase = Phase::Draining(now());
                return;
            }
            Err(error) => return tracing::warn!(%error, "a request cannot be read"),
        };
        match self.runner_for(&stream.open) {
            Ok(runner_id) => {
                let request = stream.open.clone();
                let request_id = request.request_id.clone();
                self.answers.open(stream, runner_id.clone());
                if !self.send(&runner_id, HostMessage::Generate(request)) {
                    let message = "the runner does not take requests; ask again in a moment".to_owned();
                    self.answers.end(&request_id, ErrorChunk { code: ErrorCode::Overloaded, message });
                }
            }
            Err(error) => self.answers.refuse(stream, error),
        }
    }

    /// The runner of rank 0 of the instance, if it is here and ready.
    fn runner_for(&self, request: &GenerateRequest) -> Result<RunnerId, ErrorChunk> {
        let refuse = |code, message: String| Err(ErrorChunk { code, message });
        if self.phase != Phase::Serving {
            return refuse(ErrorCode::ShuttingDown, "this node is being stopped; ask another".to_owned());
        }
        if self.answers.contains(&request.request_id) {
            let message =
                format!("request {} is being answered already; give every request its own id", request.request_id);
            return refuse(ErrorCode::InvalidRequest, message);
        }
        let state = &self.around.view.borrow().state;
        let head = state.instances.get(&request.instance_id).and_then(|instance| instance.head());
        let here = head.filter(|(node, _)| **node == self.around.local.node_id).map(|(_, runner_id)| runner_id);
        let Some(runner_id) = here else {
            let message = format!(
                "instance {} does not begin on this node; ask the one that has its rank 0",
                request.instance_id
            );
            return refuse(ErrorCode::NotReady, message);
        };
        let is_ready = self.around.local.runners.get(runner_id).is_some_and(|runner| runner.status.is_ready());
        if is_ready {
            Ok(runner_id.clone())
        } else {
            refuse(ErrorCode::NotReady, format!("instance {} is not ready; ask again in a moment", request.instance_id))
        }
    }

    fn send(&mut self, runner_id: &RunnerId, message: HostMessage) -> bool {
        self.runners.get_mut(runner_id).is_some_and(|supervised| supervised.send(message))
    }

    /// True if the plan has to be made again.
    fn on_time(&mut self) -> bool {
        let at = now();
        for (runner_id, supervised) in &mut self.runners {
            if let Some(hang) = supervised.look(at) {
                tracing::error!(runner = %runner_id, "killed: {hang}");
            }
        }
        self.wake_at.is_some_and(|wake_at| wake_at <= at)
    }

    /// When something has to be looked at though nothing happened.
    fn next_look(&self) -> Instant {
        let draining = match self.phase {
            Phase::Draining(until) => Some(until),
            Phase::Serving | Phase::Stopping => None,
        };
        let looks = self.runners.values().filter_map(Supervised::next_look);
        let beat = now() + self.around.status.beat_period();
        looks.chain(self.wake_at).chain(draining).fold(beat, Instant::min)
    }

    /// From draining to stopping, when all answers ended or their time is over.
    fn move_on(&mut self) {
        let Phase::Draining(until) = self.phase else { return };
        self.wake_at = None;
        if self.answers.len() > 0 && now() < until {
            return;
        }
        let message = "this node is being stopped; ask again, another may answer".to_owned();
        self.answers.end_all(&ErrorChunk { code: ErrorCode::ShuttingDown, message });
        let end_by = now() + END_GRACE;
        for (runner_id, supervised) in &mut self.runners {
            supervised.shut_down(end_by);
            if let Some(runner) = self.around.local.runners.get_mut(runner_id) {
                runner.status = RunnerStatus::RunnerShuttingDown;
            }
        }
        self.phase = Phase::Stopping;
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Stopping && self.runners.is_empty()
    }

    /// Lets the last chunks leave and the last processes be reaped.
    async fn leave(self, causes: mpsc::Receiver<Cause>) {
        drop(causes);
        self.tasks.close();
        let rest = async {
            self.answers.drained().await;
            self.tasks.wait().await;
            self.around.host.drained().await;
        };
        if timeout(REAP_DEADLINE, rest).await.is_err() {
            tracing::warn!("something of the worker has not ended by itself; it ends with the process");
        }
    }

    fn new_life(&mut self) -> Life {
        let life = Life(self.next_life);
        self.next_life += 1;
        life
    }
}

#[cfg(test)]
mod tests;
