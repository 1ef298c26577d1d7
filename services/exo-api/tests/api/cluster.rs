//! A cluster of fakes on the memory bus: a master with a fixed log, and a worker that answers as an engine does.

use exo_bus::{Bus, IncomingStream, MemoryNetwork, PresenceToken, ProcessId, topics};
use exo_types::{
    Candidate, Command, CommandReply, DownloadProgress, EmbeddingChunk, EmbeddingOptions, ErrorChunk, ErrorCode, Event,
    EventIndex, EventLogPage, FinishReason, GenerateRequest, GlobalEvents, IndexedEvent, Instance, InstanceId,
    MasterPresence, MasterRole, MasterStanding, Memory, Millis, ModelCard, ModelId, NodeDownload, NodeId, NodeInfo,
    NodeResources, Pooling, Prompt, Refusal, RefusalCode, RequestEventLog, RunnerId, RunnerStatus, SessionId, Shard,
    ShardAssignments, Sharding, StreamChunk, TaskId, TensorShare, TokenChunk, Usage,
};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

pub fn card(model: &str) -> ModelCard {
    ModelCard {
        model_id: ModelId::new(model).expect("a good id"),
        name: String::new(),
        architecture: if model == "encoder" { "bert" } else { "llama" }.to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers: 4,
        hidden_size: 64,
        heads: 4,
        kv_heads: 2,
        context_length: 512,
        kv_bytes_per_token: 1024,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::mib(1),
        storage_size: Memory::mib(5),
    }
}

pub fn instance(id: &str, model: &str) -> Instance {
    let runner = RunnerId::new(format!("{id}-runner")).expect("a good id");
    let shard =
        Shard { device_rank: 0, world_size: 1, start_layer: 0, end_layer: 4, n_layers: 4, tensor: TensorShare::WHOLE };
    Instance {
        instance_id: InstanceId::new(id).expect("a good id"),
        sharding: Sharding::Pipeline,
        shard_assignments: ShardAssignments {
            model_card: card(model),
            runner_to_shard: [(runner.clone(), shard)].into(),
            node_to_runner: [(node("worker"), runner)].into(),
        },
        context_length: 512,
        max_sequences: 4,
        intent: None,
    }
}

fn info() -> NodeInfo {
    NodeInfo {
        friendly_name: "atlas".to_owned(),
        version: "0.1.0".to_owned(),
        os: String::new(),
        cpu: exo_types::CpuInfo::default(),
        addresses: vec!["127.0.0.1".to_owned()],
        api_port: None,
    }
}

/// The worker has a model on its disk.
pub fn download(model: &str) -> Event {
    Event::NodeDownloadProgress {
        download: NodeDownload {
            node_id: node("worker"),
            model_card: card(model),
            progress: DownloadProgress::DownloadCompleted { total: Memory::mib(5) },
        },
    }
}

/// What the log begins with: a worker with two models on its disk, one of them placed and ready.
fn beginning(session: &SessionId) -> Vec<Event> {
    vec![
        Event::SessionOpened { session: session.clone(), when: Millis(1) },
        Event::NodeGatheredInfo { node_id: node("worker"), info: info() },
        Event::NodeResourcesChanged {
            node_id: node("worker"),
            resources: NodeResources { ram_total: Memory::mib(8192), ram_available: Memory::mib(8192) },
        },
        download("exo-guide"),
        download("org/other"),
        Event::InstanceCreated { instance: instance("i1", "exo-guide") },
        ready("i1"),
    ]
}

pub fn ready(instance: &str) -> Event {
    Event::RunnerStatusUpdated {
        runner_id: RunnerId::new(format!("{instance}-runner")).expect("a good id"),
        runner_status: RunnerStatus::RunnerReady { incarnation: 1 },
    }
}

/// The fakes, for as long as this lives.
pub struct Cluster {
    pub network: MemoryNetwork,
    worker: ProcessId,
    recorder: Recorder,
    kept_from: Arc<Mutex<EventIndex>>,
    /// Told when a generation that never ends by itself was cancelled.
    pub cancelled: mpsc::Receiver<()>,
    _presence: PresenceToken<MasterPresence>,
    _tasks: JoinSet<()>,
}

impl Cluster {
    pub async fn start() -> Self {
        Self::start_on(MemoryNetwork::new(7)).await
    }

    pub async fn start_on(network: MemoryNetwork) -> Self {
        let master = network.join(node("master")).await.expect("the memory bus is open to all");
        let worker = network.join(node("worker")).await.expect("the memory bus is open to all");
        let worker_process = worker.process();
        let session = SessionId { generation: 1, master_node_id: node("master") };
        let indexed = |(index, event)| IndexedEvent { idx: EventIndex(index), origin: None, event };
        let log = Arc::new(Mutex::new((1..).zip(beginning(&session)).map(indexed).collect::<Vec<_>>()));
        let mut tasks = JoinSet::new();
        let (sender, cancelled) = mpsc::channel(8);
        let kept_from = Arc::new(Mutex::new(EventIndex(1)));
        serve_log(&master, &session, log.clone(), kept_from.clone(), &mut tasks).await;
        serve_standing(&master, &session, &mut tasks).await;
        let (tells, answered) = (watch::Sender::new(true), watch::Sender::default());
        let recorder = Recorder { master: master.clone(), tells, answered, log, session: session.clone() };
        serve_commands(recorder.clone(), &mut tasks).await;
        serve_generations(worker, sender, &mut tasks).await;
        let candidate = Candidate { session, seniority: 0, commands_seen: 0 };
        let presence = master.announce(topics::MASTER, &MasterPresence::leading(candidate)).await.expect("small");
        Self { network, worker: worker_process, recorder, kept_from, cancelled, _presence: presence, _tasks: tasks }
    }

    /// Folds everything before that event away.
    pub fn purge(&self, kept_from: u64) {
        *self.kept_from.lock().expect("no test panics here") = EventIndex(kept_from);
    }

    /// Another session takes this one's place: its master leads, and its log has one event.
    pub async fn replace_session(&mut self) {
        let session = SessionId { generation: 2, master_node_id: node("master") };
        let event = Event::SessionOpened { session: session.clone(), when: Millis(2) };
        let other = self.network.join(node("other")).await.expect("the memory bus is open to all");
        let log = Arc::new(Mutex::new(vec![IndexedEvent { idx: EventIndex(1), origin: None, event }]));
        serve_log(&other, &session, log, self.kept_from.clone(), &mut self._tasks).await;
        let candidate = Candidate { session, seniority: 0, commands_seen: 0 };
        let presence = other.announce(topics::MASTER, &MasterPresence::leading(candidate)).await.expect("small");
        self._presence = presence;
    }

    /// The worker dies, as its machine would: without a word.
    pub fn kill_worker(&self) {
        self.network.kill(self.worker);
    }

    /// Whether the master tells what commands did. It answers them in any case.
    pub fn tell(&self, tells: bool) {
        self.recorder.tells.send_replace(tells);
    }

    /// Returns once the master has answered a command.
    pub async fn answered_one(&self) {
        let mut answered = self.recorder.answered.subscribe();
        answered.wait_for(|answered| *answered > 0).await.expect("the master is there");
    }

    /// Records and publishes.
    pub async fn record(&self, event: Event) {
        self.recorder.record(event).await;
    }
}

/// The master's log, and the way to those who follow it.
#[derive(Clone)]
struct Recorder {
    master: Bus,
    /// Whether what commands did is told.
    tells: watch::Sender<bool>,
    /// How many commands were answered.
    answered: watch::Sender<usize>,
    log: Arc<Mutex<Vec<IndexedEvent>>>,
    session: SessionId,
}

impl Recorder {
    async fn record(&self, event: Event) {
        let event = {
            let mut log = self.log.lock().expect("no test panics here");
            let event = IndexedEvent { idx: EventIndex(log.len() as u64 + 1), origin: None, event };
            log.push(event.clone());
            event
        };
        let global = GlobalEvents { session: self.session.clone(), events: vec![event] };
        self.master.publish(topics::GLOBAL_EVENTS, &global).await.expect("the bus is open");
    }
}

async fn serve_log(
    bus: &Bus,
    session: &SessionId,
    log: Arc<Mutex<Vec<IndexedEvent>>>,
    kept_from: Arc<Mutex<EventIndex>>,
    tasks: &mut JoinSet<()>,
) {
    let mut requests = bus.serve(topics::EVENT_LOG).await.expect("the bus is open");
    let session = session.clone();
    tasks.spawn(async move {
        while let Ok(incoming) = requests.recv().await {
            let page = {
                let log = log.lock().expect("no test panics here");
                let RequestEventLog { since, events_only, .. } = incoming.request;
                let page = EventLogPage::empty(session.clone(), EventIndex(log.len() as u64));
                let first = *kept_from.lock().expect("no test panics here");
                match events_only && since < first {
                    true => EventLogPage { first: Some(first), ..page },
                    false => {
                        let events = log.iter().filter(|event| event.idx >= since).cloned().collect();
                        EventLogPage { events, ..page }
                    }
                }
            };
            let _ = incoming.responder.reply(&page);
        }
    });
}

async fn serve_standing(bus: &Bus, session: &SessionId, tasks: &mut JoinSet<()>) {
    let mut requests = bus.serve(topics::STANDING).await.expect("the bus is open");
    let standing = MasterStanding {
        session: Some(session.clone()),
        role: MasterRole::Leader,
        term: 7,
        leader: Some(node("master")),
        voters: [node("master"), node("silent")].into(),
        applied: EventIndex(7),
        lag: [(node("silent"), 3)].into(),
        ..MasterStanding::default()
    };
    tasks.spawn(async move {
        while let Ok(incoming) = requests.recv().await {
            let _ = incoming.responder.reply(&standing);
        }
    });
}

/// Places everything but the model `huge`. Tells of what it did once it has answered, as late as a master may be heard.
async fn serve_commands(recorder: Recorder, tasks: &mut JoinSet<()>) {
    let mut requests = recorder.master.serve(topics::COMMAND).await.expect("the bus is open");
    tasks.spawn(async move {
        while let Ok(incoming) = requests.recv().await {
            let command_id = incoming.request.command_id.clone();
            let accepted = |instance: &str| CommandReply::Accepted {
                task_id: TaskId::new(command_id.as_str()).ok(),
                command_id: command_id.clone(),
                instance_id: InstanceId::new(instance).ok(),
            };
            let reply = match &incoming.request.command {
                Command::PlaceInstance(place) if place.model_id.as_str() == "huge" => {
                    let message = "model huge needs 9.0 TiB, the cluster has 1.0 GiB; add nodes".to_owned();
                    CommandReply::Refused(Refusal::new(RefusalCode::DoesNotFit, message))
                }
                Command::DeleteInstance { instance_id } => accepted(instance_id.as_str()),
                _ => accepted("i2"),
            };
            let _ = incoming.responder.reply(&reply);
            recorder.answered.send_modify(|answered| *answered += 1);
            let CommandReply::Accepted { command_id, task_id, instance_id } = reply else { continue };
            recorder.tells.subscribe().wait_for(|tells| *tells).await.expect("the master is there");
            if let Command::DeleteInstance { instance_id } = incoming.request.command {
                recorder.record(Event::InstanceDeleted { instance_id }).await;
            }
            recorder.record(Event::CommandAccepted { command_id, task_id, instance_id }).await;
        }
    });
}

async fn serve_generations(bus: Bus, cancelled: mpsc::Sender<()>, tasks: &mut JoinSet<()>) {
    let mut streams = bus.serve_streams(topics::GENERATE).await.expect("the bus is open");
    tasks.spawn(async move {
        let mut answers = JoinSet::new();
        while let Ok(stream) = streams.recv().await {
            answers.spawn(answer(stream, cancelled.clone()));
        }
        drop(bus);
    });
}

/// The last message says how to behave; any other text is said back, word by word.
async fn answer(stream: IncomingStream<GenerateRequest, StreamChunk>, cancelled: mpsc::Sender<()>) {
    let IncomingStream { open, mut sender, .. } = stream;
    if let Some(EmbeddingOptions { pooling }) = open.reply.embedding {
        let _ = sender.send(&vector(&open.prompt, pooling)).await;
        return sender.finish();
    }
    let Prompt::Chat(messages) = &open.prompt else { return sender.fail("a chat was expected") };
    let text = messages.last().map(|message| message.content.clone()).unwrap_or_default();
    let _ = match text.as_str() {
        "too long" => {
            let message = "the prompt has 600 tokens, the context 512".to_owned();
            sender.send(&StreamChunk::Error(ErrorChunk { code: ErrorCode::ContextLengthExceeded, message })).await
        }
        "crash" => {
            if open.answered.is_empty() {
                let _ = sender.send(&token("so", None)).await;
            }
            let message = "the runner crashed".to_owned();
            sender.send(&StreamChunk::Error(ErrorChunk { code: ErrorCode::RunnerLost, message })).await
        }
        "which" => {
            let _ = sender.send(&token(open.instance_id.as_str(), None)).await;
            sender.send(&token("", Some(FinishReason::Stop))).await
        }
        "cut" => {
            let _ = sender.send(&token("so", None)).await;
            Ok(())
        }
        "for ever" => {
            if open.answered.is_empty() {
                let _ = sender.send(&token("so", None)).await;
            }
            sender.cancelled().await;
            let _ = cancelled.send(()).await;
            Ok(())
        }
        // A word, and the runner is gone; the next one goes on behind what was said.
        words if words.starts_with("stumble ") => {
            let code = [ErrorCode::RunnerLost, ErrorCode::PeerLost, ErrorCode::NotReady][open.answered.0.len() % 3];
            match words.split_inclusive(' ').nth(open.answered.0.len() + 1) {
                Some(word) => {
                    let _ = sender.send(&token(word, None)).await;
                    sender.send(&StreamChunk::Error(ErrorChunk { code, message: "gone".to_owned() })).await
                }
                None => sender.send(&token("", Some(FinishReason::Stop))).await,
            }
        }
        words => {
            for word in words.split_inclusive(' ') {
                let _ = sender.send(&token(word, None)).await;
            }
            sender.send(&token("", Some(FinishReason::Stop))).await
        }
    };
    sender.finish();
}

/// A vector that tells what it was made of: the size of the prompt, and how it was pooled.
fn vector(prompt: &Prompt, pooling: Option<Pooling>) -> StreamChunk {
    let size = match prompt {
        Prompt::Text(text) if text == "too long" => {
            let message = "the prompt has 600 tokens, the context 512".to_owned();
            return StreamChunk::Error(ErrorChunk { code: ErrorCode::ContextLengthExceeded, message });
        }
        Prompt::Text(text) => text.len() as u32,
        Prompt::Tokens(tokens) => tokens.len() as u32,
        Prompt::Chat(_) => 0,
    };
    let pooled = match pooling {
        None => 0.0,
        Some(Pooling::Mean) => 1.0,
        Some(Pooling::Last) => 2.0,
        Some(Pooling::Cls) => 3.0,
    };
    let usage = Usage { prompt_tokens: size, ..Usage::default() };
    StreamChunk::Embedding(EmbeddingChunk { values: vec![size as f32, pooled], usage })
}

fn token(text: &str, finish_reason: Option<FinishReason>) -> StreamChunk {
    let usage = Usage { prompt_tokens: 5, completion_tokens: 2, ..Usage::default() };
    StreamChunk::Token(TokenChunk {
        text: text.to_owned(),
        token_ids: vec![1],
        finish_reason,
        usage: finish_reason.map(|_| usage),
        ..TokenChunk::default()
    })
}
