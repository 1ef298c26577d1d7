//! The driver over a memory bus, a fold of its own facts, and real runner processes: this test program, run again.

use super::{Driver, Reporter, Surroundings};
use crate::cause::Cause;
use crate::settings::Settings;
use exo_bus::{Bus, MemoryNetwork, StreamReceiver, topics};
use exo_identity::Identity;
use exo_models::ModelStore;
use exo_node::View;
use exo_plan::{Backoff, LocalNode};
use exo_runner_host::{HostMessage, LinkSettings, RunnerHost, RunnerMessage, RunnerSide};
use exo_state::{State, apply};
use exo_telemetry::Notifier;
use exo_testkit::{ModelSpec, ModelTokens};
use exo_types::{
    AnsweredTokens, CpuInfo, ErrorCode, Event, EventIndex, FinishReason, GenerateRequest, IndexedEvent, Instance,
    InstanceId, Memory, Millis, NodeId, NodeInfo, NodeResources, Prompt, ReplyOptions, RequestId, RunnerId,
    RunnerStatus, SamplingParams, SessionId, Shard, ShardAssignments, Sharding, StreamChunk, TensorShare, Turn,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const AS_RUNNER: &str = "as-runner";
const AS_STUCK_RUNNER: &str = "as-stuck-runner";
const DEADLINE: Duration = Duration::from_secs(40);
const LAYERS: u32 = 4;

/// So long that an answer is surely under way when something happens to it.
const CONTEXT: u32 = 16_384;

/// Not a test but the runner process of the others, when their script asks for it.
#[test]
fn a_runner_process() {
    if std::env::args().any(|arg| arg == AS_RUNNER) {
        let side = RunnerSide::from_stdin().expect("started by a worker");
        let ended = exo_runner::run(side, || std::process::abort());
        ended.expect("a runner that ends well");
    }
}

/// Not a test either, but a runner that gets stuck: the thread that computes stands still in the step of the first
/// request, and the one that listens answers the worker's questions for ever.
#[test]
fn a_runner_process_that_gets_stuck() {
    if !std::env::args().any(|arg| arg == AS_STUCK_RUNNER) {
        return;
    }
    let RunnerSide { mut reader, writer } = RunnerSide::from_stdin().expect("started by a worker");
    let busy = Arc::new(AtomicBool::new(false));
    while let Ok(Some(message)) = reader.read() {
        let answer = match message {
            HostMessage::Load(order) => RunnerMessage::Loaded { tensor_endpoint: None, incarnation: order.incarnation },
            HostMessage::Connect(order) => RunnerMessage::Ready { incarnation: order.incarnation },
            HostMessage::Ping => RunnerMessage::Progress { steps: 1, busy: busy.load(Ordering::Relaxed) },
            HostMessage::Generate(_) => {
                let busy = busy.clone();
                std::thread::spawn(move || {
                    busy.store(true, Ordering::Relaxed);
                    loop {
                        std::thread::park();
                    }
                });
                continue;
            }
            HostMessage::Identity(_) | HostMessage::Cancel { .. } => continue,
            HostMessage::Shutdown => return,
        };
        writer.write(&answer).expect("the worker listens");
    }
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn request(id: &str, max_tokens: u32) -> GenerateRequest {
    let end = ModelTokens::new(ModelSpec::default().vocabulary).end();
    GenerateRequest {
        request_id: RequestId::new(id).expect("a good id"),
        instance_id: InstanceId::new("instance").expect("a good id"),
        prompt: Prompt::Text("The quick brown fox".to_owned()),
        sampling: SamplingParams {
            temperature: 0.0,
            logit_bias: BTreeMap::from([(end, -100.0), (end - 1, -100.0), (end - 2, -100.0)]),
            ..SamplingParams::default()
        },
        max_tokens: Some(max_tokens),
        stop: Vec::new(),
        reply: ReplyOptions::default().into(),
        deadline_ms: 600_000,
        answered: AnsweredTokens::default(),
        asked_at: None,
        turn: Turn::default(),
    }
}

/// A cluster of workers and a client; the log is a fold over what the workers tell.
struct Cluster {
    network: MemoryNetwork,
    client: Bus,
    events: mpsc::Sender<Event>,
    view: watch::Receiver<View>,
    folder: TempDir,
    /// Of all nodes: whose a link is stands in other tests.
    identity: Identity,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Cluster {
    async fn of(names: &[&str]) -> Self {
        let network = MemoryNetwork::new(1);
        let (events, inbox) = mpsc::channel(256);
        let (publish, view) = watch::channel(View::default());
        let client = network.join(node("client")).await.expect("a memory bus");
        let folder = tempfile::tempdir().expect("a temporary directory");
        let spec = ModelSpec { layers: LAYERS as usize, context: CONTEXT as usize, ..ModelSpec::default() };
        spec.write(&folder.path().join("model.gguf")).expect("it can be written");
        let (mut tasks, shutdown) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(fold(inbox, publish));
        let identity = Identity::found(node("a"), "test", SystemTime::now()).expect("founds");
        let mut cluster = Self { network, client, events, view, folder, identity, tasks, shutdown };
        let session = SessionId { generation: 1, master_node_id: node("master") };
        cluster.tell(Event::SessionOpened { session, when: Millis(1) }).await;
        for name in names {
            cluster.add_worker(name).await;
        }
        cluster
    }

    async fn tell(&self, event: Event) {
        self.events.send(event).await.expect("the fold lives as long as the cluster");
    }

    async fn add_worker(&mut self, name: &str) {
        let bus = self.network.join(node(name)).await.expect("a memory bus");
        let streams = bus.serve_streams(topics::GENERATE).await.expect("nobody else serves here");
        let (causes, inbox) = mpsc::channel(1024);
        let models = ModelStore::new(vec![self.folder.path().to_owned()]).scan().models;
        causes.send(Cause::Models(models)).await.expect("the inbox is open");
        let events = self.events.clone();
        let report: Reporter = Box::new(move |event| drop(events.try_send(event)));
        let surroundings = Surroundings {
            settings: self.settings(name),
            local: local(name),
            view: self.view.clone(),
            report,
            status: Notifier::from_environment().service("worker"),
            host: Arc::new(RunnerHost::new().expect("a thread can be started").with_identity(self.identity.clone())),
            causes,
            busy: watch::channel(false).0,
        };
        self.tasks.spawn(Driver::new(surroundings).run(inbox, streams, self.shutdown.clone()));
    }

    fn settings(&self, name: &str) -> Settings {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Settings {
            program: script(self.folder.path(), name),
            threads: 1,
            isa: None,
            prefill_chunk: 32,
            draft_tokens: 0,
            prefix_reuse: true,
            stall_timeout: Duration::from_secs(1),
            start_timeout: DEADLINE,
            backoff: Backoff { first: Duration::from_millis(10), max: Duration::from_millis(100) },
            links: LinkSettings { listen: localhost, advertise: localhost, ports: (0, 0), deadline_ms: 30_000 },
            // The script that stands for the program writes down its processes.
            confine: false,
            memory_limit: None,
            drain: Duration::from_millis(100),
        }
    }

    /// Places the model over the nodes and waits until all of it is ready.
    async fn place(&self, nodes: &[&str]) {
        let card = ModelStore::new(vec![self.folder.path().to_owned()]).scan().models.into_values().next();
        let world = u32::try_from(nodes.len()).expect("a few");
        let shard = |rank: u32| Shard {
            device_rank: rank,
            world_size: world,
            start_layer: LAYERS * rank / world,
            end_layer: LAYERS * (rank + 1) / world,
            n_layers: LAYERS,
            tensor: TensorShare::WHOLE,
        };
        let instance = Instance {
            instance_id: InstanceId::new("instance").expect("a good id"),
            sharding: Sharding::Pipeline,
            shard_assignments: ShardAssignments {
                model_card: card.expect("the model was written").card,
                runner_to_shard: nodes.iter().zip(0..).map(|(name, rank)| (runner(name), shard(rank))).collect(),
                node_to_runner: nodes.iter().map(|name| (node(name), runner(name))).collect(),
            },
            context_length: CONTEXT,
            max_sequences: 1,
            intent: None,
        };
        self.tell(Event::InstanceCreated { instance }).await;
        self.ready().await;
    }

    async fn ready(&self) {
        self.until(|state| {
            let mut instances = state.instances.values().peekable();
            instances.peek().is_some() && instances.all(|instance| state.is_ready(instance))
        })
        .await;
    }

    async fn until(&self, is_there: impl Fn(&State) -> bool) {
        let mut view = self.view.clone();
        let waited = timeout(DEADLINE, view.wait_for(|view| is_there(&view.state))).await;
        let state = self.view.borrow().state.clone();
        waited.unwrap_or_else(|_| panic!("not in time: {:#?}", state.runners)).expect("the fold lives");
    }

    async fn ask(&self, name: &str, request: GenerateRequest) -> StreamReceiver<StreamChunk> {
        let opened = self.client.open_stream(topics::GENERATE, &node(name), &request, DEADLINE).await;
        opened.expect("the worker serves")
    }

    async fn answer(&self, name: &str, request: GenerateRequest) -> End {
        end(&mut self.ask(name, request).await).await
    }

    /// The process that the runner of a node has now.
    fn pid(&self, name: &str) -> Pid {
        let pids = std::fs::read_to_string(self.folder.path().join(format!("{name}.pids"))).expect("started once");
        let last = pids.lines().last().expect("a line for each process");
        Pid::from_raw(last.parse().expect("a process number"))
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        drop(self.events);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        timeout(DEADLINE, ended).await.expect("the workers end");
    }
}

/// A script that becomes this test program as a runner, and notes the number of its process. One that finds the file
/// [`stuck_once`] takes it away, and gets stuck.
fn script(folder: &Path, name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a running program has a file");
    let module = module_path!().split_once("::").map_or("", |(_, module)| module);
    let path = folder.join(name);
    let (exe, pids, stuck) = (exe.display(), folder.join(format!("{name}.pids")), stuck_once(folder));
    let lines = format!(
        "#!/bin/sh\necho $$ >> '{pids}'\n\
         if rm '{stuck}' 2> /dev/null; then test=_that_gets_stuck as={AS_STUCK_RUNNER}; else test= as={AS_RUNNER}; fi\n\
         exec '{exe}' --exact {module}::a_runner_process$test $as --nocapture\n",
        pids = pids.display(),
        stuck = stuck.display(),
    );
    std::fs::write(&path, lines).expect("it can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    path
}

/// While it is there, the next runner gets stuck.
fn stuck_once(folder: &Path) -> PathBuf {
    folder.join("stuck")
}

fn runner(name: &str) -> RunnerId {
    RunnerId::new(format!("runner-{name}")).expect("a good id")
}

fn local(name: &str) -> LocalNode {
    LocalNode {
        node_id: node(name),
        info: NodeInfo {
            friendly_name: name.to_owned(),
            version: String::new(),
            os: String::new(),
            cpu: CpuInfo::default(),
            addresses: vec!["127.0.0.1".to_owned()],
            api_port: None,
        },
        resources: NodeResources {
            ram_total: Memory { in_bytes: 1 << 30 },
            ram_available: Memory { in_bytes: 1 << 30 },
        },
        hardware: None,
        downloads: Vec::new(),
        connections: BTreeSet::new(),
        runners: BTreeMap::new(),
    }
}

/// The master of these tests: everything that is told becomes an event.
async fn fold(mut inbox: mpsc::Receiver<Event>, publish: watch::Sender<View>) {
    let mut state = State::default();
    while let Some(event) = inbox.recv().await {
        let idx = EventIndex(state.last_event_applied_idx.0 + 1);
        apply(&mut state, &IndexedEvent { idx, origin: None, event });
        let session = state.session.clone();
        publish.send_replace(View { session, state: Arc::new(state.clone()), ..View::default() });
    }
}

#[derive(Debug, Default, PartialEq)]
struct End {
    tokens: Vec<u32>,
    finish: Option<FinishReason>,
    error: Option<ErrorCode>,
    /// In words.
    reason: String,
}

async fn end(stream: &mut StreamReceiver<StreamChunk>) -> End {
    let mut end = End::default();
    while let Some(chunk) = stream.recv(DEADLINE).await.expect("the worker lives") {
        match chunk {
            StreamChunk::PrefillProgress(_) | StreamChunk::Embedding(_) => {}
            StreamChunk::Token(token) => {
                end.tokens.extend(token.token_ids);
                end.finish = token.finish_reason;
            }
            StreamChunk::Error(error) => (end.error, end.reason) = (Some(error.code), error.message),
        }
    }
    end
}

async fn first_token(stream: &mut StreamReceiver<StreamChunk>) {
    while let Some(chunk) = stream.recv(DEADLINE).await.expect("the worker lives") {
        if matches!(chunk, StreamChunk::Token(_)) {
            return;
        }
    }
    panic!("the answer ended without a token");
}

#[tokio::test]
async fn a_placed_model_answers_and_ends_with_its_instance() {
    let cluster = Cluster::of(&["a"]).await;
    cluster.place(&["a"]).await;
    let answer = cluster.answer("a", request("r", 12)).await;
    assert_eq!((answer.finish, answer.tokens.len()), (Some(FinishReason::Length), 12));
    let pid = cluster.pid("a");
    cluster.tell(Event::InstanceDeleted { instance_id: InstanceId::new("instance").expect("a good id") }).await;
    cluster.until(|state| state.runners.is_empty()).await;
    assert_eq!(cluster.answer("a", request("later", 2)).await.error, Some(ErrorCode::NotReady));
    cluster.stop().await;
    assert!(kill(pid, None).is_err(), "the process is gone");
}

#[tokio::test]
async fn a_killed_runner_fails_its_answers_and_is_replaced_without_help() {
    let cluster = Cluster::of(&["a"]).await;
    cluster.place(&["a"]).await;
    let mut stream = cluster.ask("a", request("lost", CONTEXT - 100)).await;
    first_token(&mut stream).await;
    let first = cluster.pid("a");
    kill(first, Signal::SIGKILL).expect("it runs");
    assert_eq!(end(&mut stream).await.error, Some(ErrorCode::RunnerLost));
    cluster.until(|state| matches!(state.runners.get(&runner("a")), Some(RunnerStatus::RunnerReady { incarnation }) if *incarnation > 0)).await;
    while cluster.pid("a") == first {
        cluster.view.clone().changed().await.expect("the fold lives");
    }
    cluster.ready().await;
    assert_eq!(cluster.answer("a", request("next", 8)).await.tokens.len(), 8);
    cluster.stop().await;
}

#[tokio::test]
async fn a_runner_that_stands_still_is_noticed_killed_and_replaced() {
    let cluster = Cluster::of(&["a"]).await;
    cluster.place(&["a"]).await;
    let mut stream = cluster.ask("a", request("hung", CONTEXT - 100)).await;
    first_token(&mut stream).await;
    let hung = cluster.pid("a");
    kill(hung, Signal::SIGSTOP).expect("it runs");
    assert_eq!(end(&mut stream).await.error, Some(ErrorCode::RunnerHung));
    cluster.until(|state| !state.runners.values().any(RunnerStatus::is_ready)).await;
    cluster.ready().await;
    assert_ne!(cluster.pid("a"), hung);
    assert_eq!(cluster.answer("a", request("next", 8)).await.tokens.len(), 8);
    cluster.stop().await;
}

#[tokio::test]
async fn a_runner_that_answers_and_gets_nowhere_is_noticed_killed_and_replaced() {
    let cluster = Cluster::of(&["a"]).await;
    std::fs::write(stuck_once(cluster.folder.path()), "").expect("it can be written");
    cluster.place(&["a"]).await;
    let stuck = cluster.pid("a");
    let mut stream = cluster.ask("a", request("stuck", 8)).await;
    let ended = end(&mut stream).await;
    assert_eq!((ended.error, ended.tokens.len()), (Some(ErrorCode::RunnerHung), 0));
    assert!(ended.reason.contains("no progress"), "{}", ended.reason);
    cluster.until(|state| !state.runners.values().any(RunnerStatus::is_ready)).await;
    cluster.ready().await;
    assert_ne!(cluster.pid("a"), stuck);
    assert_eq!(cluster.answer("a", request("next", 8)).await.tokens.len(), 8);
    cluster.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_runner() {
    let cluster = Cluster::of(&["a"]).await;
    cluster.place(&["a"]).await;
    let mut stream = cluster.ask("a", request("unwanted", CONTEXT - 100)).await;
    first_token(&mut stream).await;
    drop(stream);
    // One sequence at a time: this one waits until the other is cancelled.
    assert_eq!(cluster.answer("a", request("next", 8)).await.tokens.len(), 8);
    cluster.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_own_answer_only() {
    let cluster = Cluster::of(&["a"]).await;
    cluster.place(&["a"]).await;
    let mut slow = cluster.ask("a", request("slow", CONTEXT - 100)).await;
    // Served after the slow one was cut, for there is one sequence at a time.
    let next = cluster.answer("a", request("next", 8)).await;
    assert_eq!((next.error, next.tokens.len()), (None, 8));
    let cut = end(&mut slow).await;
    assert_eq!(cut.error, Some(ErrorCode::Overloaded));
    assert!(!cut.tokens.is_empty(), "what was buffered comes first");
    cluster.stop().await;
}

#[tokio::test]
async fn requests_for_what_is_not_here_are_refused() {
    let cluster = Cluster::of(&["a"]).await;
    assert_eq!(cluster.answer("a", request("r", 2)).await.error, Some(ErrorCode::NotReady));
    cluster.place(&["a"]).await;
    let mut first = cluster.ask("a", request("same", CONTEXT - 100)).await;
    first_token(&mut first).await;
    assert_eq!(cluster.answer("a", request("same", 2)).await.error, Some(ErrorCode::InvalidRequest));
    cluster.stop().await;
}

#[tokio::test]
async fn a_stopping_worker_ends_its_answers_and_leaves_no_process() {
    let cluster = Cluster::of(&["a"]).await;
    cluster.place(&["a"]).await;
    let mut stream = cluster.ask("a", request("long", CONTEXT - 100)).await;
    first_token(&mut stream).await;
    let pid = cluster.pid("a");
    let (_, ended) = tokio::join!(cluster.stop(), end(&mut stream));
    assert_eq!(ended.error, Some(ErrorCode::ShuttingDown));
    assert!(kill(pid, None).is_err(), "the process is gone");
}

#[tokio::test]
async fn a_pipeline_over_two_workers_survives_the_loss_of_a_rank() {
    let cluster = Cluster::of(&["a", "b"]).await;
    cluster.place(&["a", "b"]).await;
    let expect = cluster.answer("a", request("before", 24)).await;
    assert_eq!(expect.tokens.len(), 24);
    let mut stream = cluster.ask("a", request("lost", CONTEXT - 100)).await;
    first_token(&mut stream).await;
    let old = cluster.pid("b");
    kill(old, Signal::SIGKILL).expect("it runs");
    assert_eq!(end(&mut stream).await.error, Some(ErrorCode::PeerLost));
    cluster.until(|state| !state.runners.values().all(RunnerStatus::is_ready)).await;
    cluster.ready().await;
    assert_ne!(cluster.pid("b"), old);
    assert_eq!(cluster.answer("a", request("after", 24)).await, expect);
    cluster.stop().await;
}
