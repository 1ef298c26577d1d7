//! The runner's own thread.

use crate::credentials::Credentials;
use crate::head::{self, Head, Messages};
use crate::inbox::{self, Cause, Inbox, LinkCause};
use crate::links::{Around, Frame, Links, LinksError};
use crate::load::{Part, load};
use crate::progress::Progress;
use crate::step_bytes::Step;
use exo_engine::{NextStages, StageWorker, TensorGroup, Work};
use exo_runner_host::{Connect, FrameError, HostMessage, HostWriter, Load, RunnerMessage, RunnerSide};
use exo_types::{ErrorChunk, ErrorCode, GenerateRequest};
use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;
use thiserror::Error;

/// Why a runner ended otherwise than by its worker's order. The worker was told already, where it listens.
#[derive(Debug, Error)]
pub enum RunnerError {
    /// No thread.
    #[error("the system refused a thread: {0}")]
    Thread(#[from] io::Error),
    /// The worker does not listen.
    #[error(transparent)]
    Host(#[from] FrameError),
    /// The worker did not begin with an order to load.
    #[error("the worker said {0} before load; install exo-runner and its worker from one build")]
    NotLoaded(&'static str),
    /// The shard could not be loaded, or no links can be made.
    #[error("{0}")]
    Failed(String),
}

/// Serves one worker until it says `Shutdown`. When the worker is gone `on_host_gone` is called, on another thread,
/// and has to end the process.
pub fn run(side: RunnerSide, on_host_gone: impl FnOnce() + Send + 'static) -> Result<(), RunnerError> {
    let progress = Progress::default();
    let writer = side.writer.clone();
    let credentials = Credentials::default();
    let (inbox, causes) = inbox::open(side.reader, side.writer, progress.clone(), credentials.clone(), on_host_gone)?;
    let Some(order) = first_order(&causes)? else { return Ok(()) };
    let part = load_shard(&order, &progress, &writer)?;
    let mut runner = Runner {
        incarnation: order.incarnation,
        step_values: part.step_values(),
        is_ready: false,
        links: None,
        early: Vec::new(),
        progress,
        writer,
        inbox,
        credentials,
        order,
    };
    runner.listen()?;
    match part {
        Part::Head(mut head) => runner.run_head(&mut head, &causes),
        Part::Stage(mut stage) => runner.run_stage(&mut stage, &causes),
    }
}

/// The order to load; none if the worker wants nothing after all.
fn first_order(causes: &Receiver<Cause>) -> Result<Option<Load>, RunnerError> {
    match causes.recv() {
        Ok(Cause::Host(HostMessage::Load(order))) => Ok(Some(order)),
        Ok(Cause::Host(HostMessage::Shutdown)) | Err(_) => Ok(None),
        Ok(Cause::Host(other)) => Err(RunnerError::NotLoaded(other.name())),
        Ok(Cause::Link(..)) => Err(RunnerError::NotLoaded("link")),
    }
}

fn load_shard(order: &Load, progress: &Progress, writer: &HostWriter) -> Result<Part, RunnerError> {
    let total_layers = order.shard.len();
    let loading = |layers_loaded| RunnerMessage::Loading { layers_loaded, total_layers };
    writer.write(&loading(0))?;
    // A worker that is gone is noticed by the thread that listens to it.
    let mut on_layer = |layers| drop(writer.write(&loading(layers)));
    progress.busy(|| load(order, progress, &mut on_layer)).map_err(|error| {
        let message = error.to_string();
        let told = writer.write(&RunnerMessage::Failed { retry: error.is_passing(), message: message.clone() });
        told.map_or_else(RunnerError::Host, |()| RunnerError::Failed(message))
    })
}

struct Runner {
    order: Load,
    incarnation: u64,
    is_ready: bool,
    /// Most numbers that the hidden states of a step have.
    step_values: usize,
    /// Links of this incarnation; none in a world of one.
    links: Option<Links>,
    /// Steps that came before the link to the rank after it.
    early: Vec<Frame>,
    progress: Progress,
    writer: HostWriter,
    inbox: Inbox,
    /// For links.
    credentials: Credentials,
}

impl Runner {
    /// Opens the way for the rank before and tells where it is.
    fn listen(&mut self) -> Result<(), RunnerError> {
        (self.is_ready, self.links, self.early) = (false, None, Vec::new());
        if self.order.shard.world_size > 1 {
            let around = Around { credentials: self.credentials.clone(), inbox: self.inbox.clone() };
            let links = Links::listen(&self.order, self.step_values, self.incarnation, around);
            self.links = Some(links.map_err(|error| self.give_up(&error))?);
        }
        let tensor_endpoint = self.links.as_ref().map(Links::endpoint);
        Ok(self.writer.write(&RunnerMessage::Loaded { tensor_endpoint, incarnation: self.incarnation })?)
    }

    fn give_up(&self, error: &LinksError) -> RunnerError {
        let message = error.to_string();
        let told = self.writer.write(&RunnerMessage::Failed { retry: true, message: message.clone() });
        told.map_or_else(RunnerError::Host, |()| RunnerError::Failed(message))
    }

    /// The links are gone: another incarnation, the same weights.
    fn start_anew(&mut self, reason: &str) -> Result<(), RunnerError> {
        tracing::warn!(incarnation = self.incarnation, reason, "a link to another rank is gone");
        self.incarnation += 1;
        self.listen()
    }

    fn connect(&mut self, order: &Connect) -> Result<(), RunnerError> {
        if order.incarnation != self.incarnation || self.is_ready {
            return Ok(());
        }
        let Some(links) = &mut self.links else { return self.become_ready() };
        let called = links.connect(&order.peers);
        called.map_err(|error| self.give_up(&error))
    }

    fn become_ready(&mut self) -> Result<(), RunnerError> {
        self.is_ready = true;
        Ok(self.writer.write(&RunnerMessage::Ready { incarnation: self.incarnation })?)
    }

    /// A cause from a link of this incarnation; those of earlier ones mean nothing any more.
    fn current(&self, incarnation: u64, cause: LinkCause) -> Option<LinkCause> {
        (incarnation == self.incarnation).then_some(cause)
    }

    /// Notes a link; true when all are there.
    fn note(&mut self, cause: LinkCause) -> bool {
        let Some(links) = &mut self.links else { return false };
        links.note(cause);
        links.is_whole() && !self.is_ready
    }

    fn tell(&self, messages: &mut Messages) -> Result<(), RunnerError> {
        messages.drain(..).try_for_each(|message| Ok(self.writer.write(&message)?))
    }

    fn run_head(&mut self, head: &mut Head, causes: &Receiver<Cause>) -> Result<(), RunnerError> {
        let mut out = Messages::new();
        loop {
            let has_work = self.is_ready && !head.is_idle();
            let cause = match has_work {
                true => causes.try_recv(),
                false => causes.recv().map_err(|_| TryRecvError::Disconnected),
            };
            match cause {
                Ok(Cause::Host(HostMessage::Shutdown)) | Err(TryRecvError::Disconnected) => return Ok(()),
                Ok(Cause::Host(message)) => self.on_host(head, message, &mut out)?,
                Ok(Cause::Link(incarnation, cause)) => {
                    if let Some(cause) = self.current(incarnation, cause) {
                        self.on_head_link(head, cause, &mut out)?;
                    }
                }
                // Nothing new: go on computing.
                Err(TryRecvError::Empty) => self.step(head, &mut out)?,
            }
            self.tell(&mut out)?;
        }
    }

    fn on_host(&mut self, head: &mut Head, message: HostMessage, out: &mut Messages) -> Result<(), RunnerError> {
        match message {
            HostMessage::Generate(request) if self.is_ready => {
                let now = Instant::now();
                self.progress.busy(|| head.generate(request, now, out));
            }
            HostMessage::Generate(request) => out.push(not_ready(request)),
            HostMessage::Cancel { request_id } => head.cancel(&request_id),
            HostMessage::Connect(order) => self.connect(&order)?,
            HostMessage::Identity(_) | HostMessage::Load(_) | HostMessage::Ping | HostMessage::Shutdown => {}
        }
        Ok(())
    }

    fn on_head_link(&mut self, head: &mut Head, cause: LinkCause, out: &mut Messages) -> Result<(), RunnerError> {
        match cause {
            LinkCause::Broken(reason) => self.lose_links(head, &reason, out),
            // Nobody sends steps to the first rank: they come round as returns.
            LinkCause::Step(..) => Ok(()),
            joined => {
                if self.note(joined)
                    && let Some(links) = &mut self.links
                {
                    let group = links.group(&self.progress).map(|group| Box::new(group) as Box<dyn TensorGroup>);
                    let next = links.stages(&self.progress).map(|stages| Box::new(stages) as Box<dyn NextStages>);
                    head.connect(group, next);
                    self.become_ready()?;
                }
                Ok(())
            }
        }
    }

    fn lose_links(&mut self, head: &mut Head, reason: &str, out: &mut Messages) -> Result<(), RunnerError> {
        let message = format!("another rank went away ({reason}); ask again, it is being replaced");
        head.fail_all(&ErrorChunk { code: ErrorCode::PeerLost, message }, out);
        // First those who wait, then that nobody can be served.
        self.tell(out)?;
        self.start_anew(reason)
    }

    fn step(&mut self, head: &mut Head, out: &mut Messages) -> Result<(), RunnerError> {
        let now = Instant::now();
        head.expire(now, out);
        head.tell_progress(now, out);
        match self.progress.clone().busy(|| head.step(out)) {
            Ok(()) => Ok(()),
            Err(failure) if self.links.is_some() => self.lose_links(head, &failure.to_string(), out),
            // The request is answered with the error; the engine goes on with the others.
            Err(failure) => {
                tracing::error!(%failure, "a step failed");
                Ok(())
            }
        }
    }

    fn run_stage(&mut self, stage: &mut StageWorker, causes: &Receiver<Cause>) -> Result<(), RunnerError> {
        loop {
            match causes.recv() {
                Ok(Cause::Host(HostMessage::Shutdown)) | Err(_) => return Ok(()),
                Ok(Cause::Host(HostMessage::Connect(order))) => self.connect(&order)?,
                Ok(Cause::Host(HostMessage::Generate(request))) => self.writer.write(&not_ready(request))?,
                Ok(Cause::Host(_)) => {}
                Ok(Cause::Link(incarnation, cause)) => {
                    if let Some(cause) = self.current(incarnation, cause) {
                        self.on_stage_link(stage, cause)?;
                    }
                }
            }
        }
    }

    fn on_stage_link(&mut self, stage: &mut StageWorker, cause: LinkCause) -> Result<(), RunnerError> {
        match cause {
            LinkCause::Broken(reason) => self.start_anew(&reason),
            LinkCause::Step(step, hidden) => {
                self.pass_on(stage, step, hidden).or_else(|reason| self.start_anew(&reason))
            }
            joined => {
                if self.note(joined)
                    && let Some(links) = &mut self.links
                {
                    if let Some(group) = links.group(&self.progress) {
                        stage.connect(Box::new(group));
                    }
                    self.become_ready()?;
                    let mut early = std::mem::take(&mut self.early).into_iter();
                    let passed = early.try_for_each(|(step, hidden)| self.pass_on(stage, step, hidden));
                    return passed.or_else(|reason| self.start_anew(&reason));
                }
                Ok(())
            }
        }
    }

    /// Computes a step and sends it on; those that come before all links are there are kept until then.
    fn pass_on(&mut self, stage: &mut StageWorker, step: Step, mut hidden: Vec<f32>) -> Result<(), String> {
        let Some(links) = &mut self.links else { return Err("a step came to a world of one".to_owned()) };
        if !self.is_ready {
            if self.early.len() >= self.order.shard.world_size as usize {
                return Err("more steps came than ranks there are, before all links were there".to_owned());
            }
            self.early.push((step, hidden));
            return Ok(());
        }
        let computed = self.progress.busy(|| stage.run_step(step.work, &step.plan, &mut hidden));
        computed.map_err(|error| error.to_string())?;
        match step.work {
            Work::Layers => links.send(&step, &hidden).map_err(|error| error.to_string()),
            Work::Head => Ok(()),
        }
    }
}

fn not_ready(request: GenerateRequest) -> RunnerMessage {
    let message = "the ranks are being connected; ask again in a moment".to_owned();
    head::error(request.request_id, ErrorChunk { code: ErrorCode::NotReady, message })
}
