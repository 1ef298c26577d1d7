//! One runner that computes nothing.

use super::{Life, Links};
use exo_ambient::Dice;
use exo_runner_host::{Connect, ExitReport, HostMessage, Load, RunnerEvent, RunnerMessage};
use exo_types::{ErrorChunk, ErrorCode, FinishReason, GenerateRequest, RequestId, StreamChunk, TokenChunk, Usage};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Between two tokens of one step.
const STEP: Duration = Duration::from_millis(20);

/// A link whose other end does not listen as it was told is tried for so long, unless another order names another life.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// What it is at.
enum Phase {
    Idle,
    Loading {
        until: Instant,
    },
    Loaded,
    Connecting {
        order: Connect,
        until: Instant,
        next: Option<CancellationToken>,
    },
    /// None in a world of one.
    Ready {
        next: Option<CancellationToken>,
    },
}

struct Answering {
    request_id: RequestId,
    told: u32,
    wanted: u32,
}

pub(super) struct FakeRunner {
    name: String,
    endpoint: String,
    life: Life,
    links: Links,
    dice: Dice,
    heard: mpsc::Sender<RunnerEvent>,
    phase: Phase,
    /// The link of whoever calls this incarnation. Like that to the rank behind it is cancelled when the rank at its other
    /// end goes away.
    previous: CancellationToken,
    world: u32,
    incarnation: u64,
    answering: VecDeque<Answering>,
    next_step: Instant,
    steps: u64,
}

impl FakeRunner {
    pub(super) fn new(
        name: String,
        endpoint: String,
        life: Life,
        links: Links,
        dice: Dice,
        heard: mpsc::Sender<RunnerEvent>,
    ) -> Self {
        Self {
            name,
            endpoint,
            life,
            links,
            dice,
            heard,
            phase: Phase::Idle,
            previous: CancellationToken::new(),
            world: 1,
            incarnation: 0,
            answering: VecDeque::new(),
            next_step: Instant::now(),
            steps: 0,
        }
    }

    /// Lives until it is killed, told to end, or its handle is gone.
    pub(super) async fn live(mut self, mut inbox: mpsc::Receiver<HostMessage>) {
        let killed = self.life.killed.clone();
        let code = loop {
            let (next, previous) = self.watched_links();
            let due = self.due();
            tokio::select! {
                biased;
                () = killed.cancelled() => break None,
                message = inbox.recv() => match message {
                    _ if self.hangs() => {}
                    None | Some(HostMessage::Shutdown) => break Some(0),
                    Some(message) => self.on(message).await,
                },
                () = next.cancelled() => self.on_broken().await,
                () = previous.cancelled() => self.on_broken().await,
                () = sleep_until(due) => self.on_time().await,
            }
        };
        self.hang_up();
        let signal = code.is_none().then_some(9);
        let report = ExitReport { code, signal, fault: None, last_words: vec![format!("{} ends", self.name)] };
        let _nobody = self.heard.send(RunnerEvent::Exited(report)).await;
    }

    fn hangs(&self) -> bool {
        self.life.hangs.load(Ordering::Relaxed)
    }

    /// To the rank behind, where it is there, and from the one before; others are never cancelled. Ready or not it hears
    /// of a loss at once: else others would link to a life that is over, and lose their own with it.
    fn watched_links(&self) -> (CancellationToken, CancellationToken) {
        match self.hangs() {
            true => (CancellationToken::new(), CancellationToken::new()),
            false => (self.next().cloned().unwrap_or_default(), self.previous.clone()),
        }
    }

    /// The link to the rank behind.
    fn next(&self) -> Option<&CancellationToken> {
        match &self.phase {
            Phase::Connecting { next, .. } | Phase::Ready { next } => next.as_ref(),
            Phase::Idle | Phase::Loading { .. } | Phase::Loaded => None,
        }
    }

    fn hang_up(&self) {
        self.links.leave(&self.endpoint);
        if let Some(next) = self.next() {
            next.cancel();
        }
    }

    fn due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        match &self.phase {
            _ if self.hangs() => far,
            Phase::Loading { until } => *until,
            Phase::Connecting { .. } => Instant::now() + STEP,
            Phase::Ready { .. } if !self.answering.is_empty() => self.next_step,
            _ => far,
        }
    }

    async fn on(&mut self, message: HostMessage) {
        match message {
            HostMessage::Load(load) => self.load(&load).await,
            HostMessage::Connect(order) if self.may_connect(&order) => {
                self.phase = Phase::Connecting { order, until: Instant::now() + CONNECT_PATIENCE, next: None };
                self.try_connect().await;
            }
            HostMessage::Generate(request) => self.generate(request).await,
            HostMessage::Cancel { request_id } => self.answering.retain(|answer| answer.request_id != request_id),
            HostMessage::Ping => {
                let (steps, busy) = (self.steps, !self.answering.is_empty());
                self.tell(RunnerMessage::Progress { steps, busy }).await;
            }
            HostMessage::Identity(_) | HostMessage::Connect(_) | HostMessage::Shutdown => {}
        }
    }

    /// Where a link is there already, its loss is what ends this incarnation.
    fn may_connect(&self, order: &Connect) -> bool {
        let has_no_link = matches!(self.phase, Phase::Loaded | Phase::Connecting { next: None, .. });
        order.incarnation == self.incarnation && has_no_link
    }

    async fn load(&mut self, load: &Load) {
        (self.world, self.incarnation) = (load.shard.world_size, load.incarnation);
        self.phase = Phase::Loading { until: Instant::now() + Duration::from_millis(20 + self.dice.below(300)) };
        let total_layers = load.shard.end_layer - load.shard.start_layer;
        self.tell(RunnerMessage::Loading { layers_loaded: 0, total_layers }).await;
    }

    async fn on_time(&mut self) {
        match &self.phase {
            Phase::Loading { .. } => self.loaded().await,
            Phase::Connecting { .. } => self.try_connect().await,
            Phase::Ready { .. } => self.step().await,
            Phase::Idle | Phase::Loaded => {}
        }
    }

    async fn loaded(&mut self) {
        self.phase = Phase::Loaded;
        let tensor_endpoint = (self.world > 1).then(|| self.endpoint.clone());
        if tensor_endpoint.is_some() {
            self.previous = self.links.listen(&self.endpoint, self.incarnation);
        }
        self.tell(RunnerMessage::Loaded { tensor_endpoint, incarnation: self.incarnation }).await;
    }

    /// Ready is who has its links in both directions.
    async fn try_connect(&mut self) {
        let Phase::Connecting { order, until, next } = &mut self.phase else { return };
        let peer = order.peers.first();
        if let (Some(peer), None) = (peer, &next) {
            *next = self.links.connect(&peer.endpoint, peer.incarnation);
            if next.is_none() {
                let is_late = Instant::now() >= *until;
                if is_late {
                    self.on_broken().await;
                }
                return;
            }
        }
        if self.world == 1 || self.links.is_called(&self.endpoint) {
            self.phase = Phase::Ready { next: next.take() };
            self.tell(RunnerMessage::Ready { incarnation: self.incarnation }).await;
        }
    }

    /// A link is gone: what was being answered fails, the weights stay, the next incarnation listens.
    async fn on_broken(&mut self) {
        for answer in std::mem::take(&mut self.answering) {
            self.fail(answer.request_id, ErrorCode::PeerLost, "a rank of the pipeline is gone").await;
        }
        self.hang_up();
        self.incarnation += 1;
        self.loaded().await;
    }

    async fn generate(&mut self, request: GenerateRequest) {
        if !matches!(self.phase, Phase::Ready { .. }) {
            return self.fail(request.request_id, ErrorCode::NotReady, "not ready").await;
        }
        if self.answering.is_empty() {
            self.next_step = Instant::now() + STEP;
        }
        let wanted = request.max_tokens.unwrap_or(8).max(1);
        let told = request.answered.0.last().copied().unwrap_or(0);
        self.answering.push_back(Answering { request_id: request.request_id, told, wanted });
    }

    /// One token for everybody.
    async fn step(&mut self) {
        self.steps += 1;
        self.next_step += STEP;
        let mut answering = std::mem::take(&mut self.answering);
        for answer in &mut answering {
            answer.told += 1;
            let finish_reason = (answer.told == answer.wanted).then_some(FinishReason::Length);
            let usage = Usage { prompt_tokens: 1, completion_tokens: answer.told, ..Usage::default() };
            let chunk = TokenChunk {
                text: format!("{} ", answer.told),
                token_ids: vec![answer.told],
                finish_reason,
                usage: finish_reason.map(|_| usage),
                ..TokenChunk::default()
            };
            let (request_id, chunk) = (answer.request_id.clone(), StreamChunk::Token(chunk));
            self.tell(RunnerMessage::Chunk { request_id, chunk }).await;
        }
        answering.retain(|answer| answer.told < answer.wanted);
        self.answering = answering;
    }

    async fn fail(&self, request_id: RequestId, code: ErrorCode, message: &str) {
        let chunk = StreamChunk::Error(ErrorChunk { code, message: message.to_owned() });
        self.tell(RunnerMessage::Chunk { request_id, chunk }).await;
    }

    async fn tell(&self, message: RunnerMessage) {
        let _nobody = self.heard.send(RunnerEvent::Message(message)).await;
    }
}

impl Drop for FakeRunner {
    fn drop(&mut self) {
        self.hang_up();
    }
}
