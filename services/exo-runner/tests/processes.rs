//! Real runner processes over a generated model, driven as their worker drives them.

mod processes {
    mod links;
    mod lives;
    mod reuse;
}

use exo_identity::Identity;
use exo_runner_host::{
    Confinement, Connect, ExitReport, HostMessage, Limits, LinkSettings, Load, NetworkUse, RankAddress, Runner,
    RunnerEvent, RunnerEvents, RunnerHost, RunnerMessage, RunnerProgram,
};
use exo_testkit::{Architecture, HfStorage, ModelSpec, ModelTokens, TemporaryModel};
use exo_types::{
    AnsweredTokens, ChatMessage, Constraint, EmbeddingOptions, ErrorCode, FinishReason, GenerateRequest, InstanceId,
    Pooling, Prompt, ReplyOptions, RequestId, Role, SamplingParams, Shard, StreamChunk, TensorShare, Turn, Usage,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// No test waits longer for anything; most wait a few milliseconds.
const DEADLINE: Duration = Duration::from_secs(40);

/// As many as the context holds, so that an answer is surely under way when something happens to it.
const CONTEXT: u32 = 16_384;

/// Enough for a rank each in the longest pipeline here.
const LAYERS: u32 = 5;

fn spec() -> ModelSpec {
    ModelSpec { layers: LAYERS as usize, context: CONTEXT as usize, ..ModelSpec::default() }
}

fn model() -> TemporaryModel {
    spec().write_temporary().expect("a temporary directory can be written to")
}

/// The share of a rank where `size` ranks share each of `stages` parts of the layers.
fn shared(rank: u32, stages: u32, size: u32) -> Shard {
    let stage = shard(rank / size, stages);
    let tensor = TensorShare { rank: rank % size, size };
    Shard { device_rank: rank, world_size: stages * size, tensor, ..stage }
}

fn shard(rank: u32, world: u32) -> Shard {
    let (start_layer, end_layer) = (LAYERS * rank / world, LAYERS * (rank + 1) / world);
    Shard { device_rank: rank, world_size: world, start_layer, end_layer, n_layers: LAYERS, tensor: TensorShare::WHOLE }
}

fn order(path: &Path, rank: u32, world: u32) -> Load {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let links = LinkSettings { listen: localhost, advertise: localhost, ports: (0, 0), deadline_ms: 30_000 };
    Load {
        model_path: path.to_owned(),
        quantization: None,
        instance_id: InstanceId::new("instance").expect("a good id"),
        shard: shard(rank, world),
        context_length: CONTEXT,
        max_sequences: 2,
        prefill_chunk: 32,
        draft_tokens: 0,
        prefix_reuse: true,
        kv_format: exo_types::KvFormat::F16,
        threads: 1,
        isa: None,
        memory_limit: None,
        links: (world > 1).then_some(links),
        incarnation: u64::from(rank) * 1000 + 1,
    }
}

fn request(id: &str, prompt: Prompt, max_tokens: u32) -> GenerateRequest {
    let end = ModelTokens::new(ModelSpec::default().vocabulary).end();
    GenerateRequest {
        request_id: RequestId::new(id).expect("a good id"),
        instance_id: InstanceId::new("instance").expect("a good id"),
        prompt,
        sampling: SamplingParams {
            temperature: 0.0,
            min_p: 0.0,
            // Answers of random weights end where they are told to.
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

fn text(id: &str, max_tokens: u32) -> GenerateRequest {
    request(id, Prompt::Text("The quick brown fox jumps over the lazy dog.".to_owned()), max_tokens)
}

/// A process and what it says.
struct Rank {
    shard: Shard,
    runner: Runner,
    events: RunnerEvents,
}

#[derive(Debug, Default, PartialEq)]
struct Answer {
    tokens: Vec<u32>,
    text: String,
    finish: Option<FinishReason>,
    usage: Usage,
    vector: Option<Vec<f32>>,
    error: Option<ErrorCode>,
    /// In words.
    reason: String,
}

impl Answer {
    /// True if that was its end.
    fn push(&mut self, chunk: StreamChunk) -> bool {
        match chunk {
            StreamChunk::PrefillProgress(_) => {}
            StreamChunk::Token(token) => {
                self.text += &token.text;
                self.tokens.extend(token.token_ids);
                if token.finish_reason.is_some() {
                    self.finish = token.finish_reason;
                    self.usage = token.usage.expect("the last chunk tells the cost");
                    return true;
                }
            }
            StreamChunk::Embedding(embedding) => {
                (self.vector, self.usage) = (Some(embedding.values), embedding.usage);
                return true;
            }
            StreamChunk::Error(error) => {
                (self.error, self.reason) = (Some(error.code), error.message);
                return true;
            }
        }
        false
    }
}

impl Rank {
    async fn start(host: &RunnerHost, order: Load) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_exo-runner"));
        let network = match &order.links {
            Some(links) => NetworkUse::Links { ports: links.ports },
            None => NetworkUse::None,
        };
        let confinement = Some(Confinement { reads: vec![order.model_path.clone()], network });
        let (name, limits) = ("test".to_owned(), Limits::default());
        let what = RunnerProgram { program, args: vec![], name, limits, confinement };
        let (runner, events) = host.spawn(what).await.expect("the runner was built with this test");
        let rank = Self { shard: order.shard.clone(), runner, events };
        rank.send(HostMessage::Load(order));
        rank
    }

    fn send(&self, message: HostMessage) {
        self.runner.send(message).expect("the runner reads");
    }

    async fn event(&mut self) -> RunnerEvent {
        timeout(DEADLINE, self.events.next()).await.expect("an event in time").expect("an event before the end")
    }

    async fn message(&mut self) -> RunnerMessage {
        match self.event().await {
            RunnerEvent::Message(message) => message,
            RunnerEvent::Exited(report) => panic!("the runner {report}: {:?}", report.last_words),
        }
    }

    async fn loaded(&mut self) -> (Option<String>, u64) {
        loop {
            match self.message().await {
                RunnerMessage::Loaded { tensor_endpoint, incarnation } => return (tensor_endpoint, incarnation),
                RunnerMessage::Loading { layers_loaded, total_layers } => assert!(layers_loaded <= total_layers),
                RunnerMessage::Chunk { .. } => {}
                other => panic!("{other:?} before loaded"),
            }
        }
    }

    async fn exit(&mut self) -> ExitReport {
        loop {
            if let RunnerEvent::Exited(report) = self.event().await {
                return report;
            }
        }
    }

    /// Asks, and reads the answer to its end.
    async fn ask(&mut self, request: GenerateRequest) -> Answer {
        let id = request.request_id.to_string();
        self.send(HostMessage::Generate(request));
        self.answer(&id).await
    }

    /// Reads an answer to its end, passing over what else is told.
    async fn answer(&mut self, id: &str) -> Answer {
        let [answer] = self.answers([id]).await;
        answer
    }

    /// Reads answers that come at the same time to their ends.
    async fn answers<const N: usize>(&mut self, ids: [&str; N]) -> [Answer; N] {
        let mut answers = std::array::from_fn(|_| Answer::default());
        let mut open = N;
        while open > 0 {
            let RunnerMessage::Chunk { request_id, chunk } = self.message().await else { continue };
            let Some(place) = ids.iter().position(|id| *id == request_id.as_str()) else { continue };
            open -= usize::from(answers[place].push(chunk));
        }
        answers
    }

    async fn first_token(&mut self, id: &str) {
        loop {
            let message = self.message().await;
            if matches!(&message, RunnerMessage::Chunk { request_id, chunk: StreamChunk::Token(_) } if request_id.as_str() == id)
            {
                return;
            }
        }
    }

    async fn ready(&mut self) {
        let message = self.message().await;
        assert!(matches!(message, RunnerMessage::Ready { .. }), "{message:?}");
    }
}

async fn alone(host: &RunnerHost, path: &Path) -> Rank {
    let mut rank = Rank::start(host, order(path, 0, 1)).await;
    let (endpoint, incarnation) = rank.loaded().await;
    assert_eq!(endpoint, None);
    rank.send(HostMessage::Connect(Connect { incarnation, peers: Vec::new() }));
    rank.ready().await;
    rank
}

/// Has all ranks, which are loaded, connect to each other.
async fn connect(ranks: &mut [Rank], loaded: &[(Option<String>, u64)]) {
    order_links(ranks, loaded);
    for rank in ranks {
        rank.ready().await;
    }
}

/// Tells them to.
fn order_links(ranks: &[Rank], loaded: &[(Option<String>, u64)]) {
    order_links_to(ranks, loaded, loaded);
}

/// Tells them to, and that the others are where it is shown.
fn order_links_to(ranks: &[Rank], loaded: &[(Option<String>, u64)], shown: &[(Option<String>, u64)]) {
    for (place, rank) in ranks.iter().enumerate() {
        let address = |rank: u32| {
            let (endpoint, incarnation) = shown[rank as usize].clone();
            RankAddress { rank, endpoint: endpoint.expect("a rank of several listens"), incarnation }
        };
        let peers = rank.shard.calls().into_iter().map(address).collect();
        rank.send(HostMessage::Connect(Connect { incarnation: loaded[place].1, peers }));
    }
}

async fn pipeline(host: &RunnerHost, path: &Path, world: u32) -> (Vec<Rank>, Vec<(Option<String>, u64)>) {
    started(host, (0..world).map(|rank| order(path, rank, world))).await
}

/// Ranks of which `size` share each of `stages` parts of the layers.
async fn sharing(host: &RunnerHost, path: &Path, stages: u32, size: u32) -> Vec<Rank> {
    let orders = (0..stages * size).map(|rank| Load { shard: shared(rank, stages, size), ..order(path, rank, LAYERS) });
    started(host, orders).await.0
}

async fn started(host: &RunnerHost, orders: impl Iterator<Item = Load>) -> (Vec<Rank>, Vec<(Option<String>, u64)>) {
    let (mut ranks, loaded) = waiting(orders.map(|order| (host, order))).await;
    connect(&mut ranks, &loaded).await;
    (ranks, loaded)
}

/// Ranks that are loaded and wait to be connected.
async fn waiting(orders: impl Iterator<Item = (&RunnerHost, Load)>) -> (Vec<Rank>, Vec<(Option<String>, u64)>) {
    let mut ranks = Vec::new();
    let mut loaded = Vec::new();
    for (host, order) in orders {
        ranks.push(Rank::start(host, order).await);
    }
    for rank in &mut ranks {
        loaded.push(rank.loaded().await);
    }
    (ranks, loaded)
}

fn node(name: &str) -> exo_types::NodeId {
    exo_types::NodeId::new(name).expect("a good id")
}

/// The first node of a cluster.
fn found(name: &str) -> Identity {
    Identity::found(node(name), "test", SystemTime::now()).expect("founds")
}

fn host() -> RunnerHost {
    host_of(&found("node"))
}

fn host_of(identity: &Identity) -> RunnerHost {
    RunnerHost::new().expect("a thread can be started").with_identity(identity.clone())
}

#[tokio::test]
async fn a_runner_loads_answers_and_ends_when_told() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    let turn = ChatMessage::new(Role::User, "hello");
    rank.send(HostMessage::Generate(request("chat", Prompt::Chat(vec![turn]), 12)));
    let answer = rank.answer("chat").await;
    assert_eq!((answer.finish, answer.tokens.len()), (Some(FinishReason::Length), 12));
    assert_eq!(answer.usage.completion_tokens, 12);
    assert!(answer.usage.prompt_tokens > 0);
    rank.send(HostMessage::Shutdown);
    assert_eq!(rank.exit().await.code, Some(0));
}

/// As confined as with a file: a folder is all that the process may read.
#[tokio::test]
async fn two_ranks_answer_from_a_directory_as_one_does_from_the_file() {
    let (host, model) = (host(), model());
    let folder = tempfile::tempdir().expect("a temporary directory");
    spec().write_hugging_face(folder.path(), HfStorage::F32).expect("it can be written to");
    let mut one = alone(&host, &model.path()).await;
    let expected = one.ask(text("file", 20)).await;
    let (mut ranks, _) = pipeline(&host, folder.path(), 2).await;
    assert_eq!(ranks[0].ask(text("directory", 20)).await.tokens, expected.tokens);
    let quantised = Load { quantization: Some("Q4_0".to_owned()), ..order(folder.path(), 0, 1) };
    let mut rank = Rank::start(&host, quantised).await;
    rank.loaded().await;
    let unknown = Load { quantization: Some("Q9".to_owned()), ..order(folder.path(), 0, 1) };
    let mut rank = Rank::start(&host, unknown).await;
    let message = loop {
        match rank.message().await {
            RunnerMessage::Loading { .. } => {}
            other => break other,
        }
    };
    let is_refused = matches!(&message, RunnerMessage::Failed { retry: false, message } if message.contains("Q9"));
    assert!(is_refused, "{message:?}");
}

/// An encoder's step holds a text whole: its frames are longer than a decoder's with the same settings.
#[tokio::test]
async fn two_ranks_give_the_vectors_that_one_gives() {
    let host = host();
    for spec in [spec(), ModelSpec { layers: LAYERS as usize, ..ModelSpec::of(Architecture::Bert) }] {
        let model = spec.write_temporary().expect("a temporary directory can be written to");
        let mut one = alone(&host, &model.path()).await;
        for mut ranks in [pipeline(&host, &model.path(), 2).await.0, sharing(&host, &model.path(), 1, 2).await] {
            for pooling in [None, Some(Pooling::Mean), Some(Pooling::Last)] {
                let reply = ReplyOptions { embedding: Some(EmbeddingOptions { pooling }), ..Default::default() }.into();
                let wanted = GenerateRequest { reply, ..request("vector", Prompt::Tokens((10..90).collect()), 1) };
                one.send(HostMessage::Generate(wanted.clone()));
                let Answer { vector, usage, .. } = one.answer("vector").await;
                assert_eq!((vector.as_ref().map(Vec::len), usage.completion_tokens), (Some(spec.hidden), 0));
                ranks[0].send(HostMessage::Generate(wanted));
                assert_eq!(ranks[0].answer("vector").await.vector, vector, "{pooling:?}");
            }
        }
    }
}

#[tokio::test]
async fn two_requests_at_once_get_the_answers_they_get_alone() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    let alone = rank.ask(text("alone", 20)).await;
    rank.send(HostMessage::Generate(request("other", Prompt::Text("zzz".to_owned()), 40)));
    assert_eq!(rank.ask(text("together", 20)).await.tokens, alone.tokens);
}

#[tokio::test]
async fn a_file_that_is_no_model_fails_for_good_and_says_why() {
    let host = host();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("bad.gguf");
    std::fs::write(&path, b"GGUFfffffffffffffffffff").expect("it can be written to");
    for (path, may_retry) in [(path, false), (folder.path().join("missing.gguf"), true)] {
        let mut rank = Rank::start(&host, order(&path, 0, 1)).await;
        let failed = loop {
            match rank.message().await {
                RunnerMessage::Failed { retry, message } => break (retry, message),
                RunnerMessage::Loading { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(failed.0, may_retry, "{}", failed.1);
        assert!(failed.1.contains(".gguf"), "{}", failed.1);
        assert_eq!(rank.exit().await.code, Some(1));
    }
}

#[tokio::test]
async fn requests_that_cannot_be_served_are_answered_with_a_code() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    let bad_sampling = {
        let mut request = text("sampling", 4);
        request.sampling.temperature = f32::NAN;
        request
    };
    let long = request("long", Prompt::Text("q ".repeat(CONTEXT as usize)), 4);
    let late = GenerateRequest { deadline_ms: 1, ..text("late", CONTEXT) };
    let cases = [
        (bad_sampling, ErrorCode::InvalidRequest),
        (text("none", 0), ErrorCode::InvalidRequest),
        (long, ErrorCode::ContextLengthExceeded),
        (late, ErrorCode::DeadlineExceeded),
    ];
    for (request, code) in cases {
        let id = request.request_id.to_string();
        rank.send(HostMessage::Generate(request));
        assert_eq!(rank.answer(&id).await.error, Some(code), "{id}");
    }
    assert_eq!(rank.ask(text("good", 4)).await.tokens.len(), 4);
}

#[tokio::test]
async fn grammars_hold_and_bad_ones_are_refused_before_anything_is_said() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    let held = |id: &str, constraint: Constraint| GenerateRequest {
        reply: ReplyOptions { constraint: Some(constraint), ..ReplyOptions::default() }.into(),
        ..text(id, 200)
    };
    let exploding = Constraint::Lark("start: e\ne: e e | \"a\" | e e e |".to_owned());
    rank.send(HostMessage::Generate(held("exploding", exploding)));
    let bad = [("open", Constraint::Regex("(".to_owned())), ("text", Constraint::Lark("?".to_owned()))];
    for (id, constraint) in bad {
        rank.send(HostMessage::Generate(held(id, constraint)));
        let answer = rank.answer(id).await;
        assert_eq!((answer.error, answer.text.as_str()), (Some(ErrorCode::InvalidRequest), ""), "{id}");
    }
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":0,"maximum":99}},"required":["n"],"additionalProperties":false}"#;
    let schema = Constraint::JsonSchema { schema: schema.to_owned(), strict: true };
    rank.send(HostMessage::Generate(held("json", schema)));
    let answer = rank.answer("json").await;
    assert_eq!(answer.finish, Some(FinishReason::Stop), "{}", answer.text);
    let value: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
    assert!(value["n"].as_i64().is_some_and(|n| n <= 99), "{value}");
}

#[tokio::test]
async fn a_cancelled_request_stops_and_the_runner_goes_on() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    rank.send(HostMessage::Generate(text("long", CONTEXT - 100)));
    rank.first_token("long").await;
    let request_id = RequestId::new("long").expect("a good id");
    rank.send(HostMessage::Cancel { request_id });
    rank.send(HostMessage::Generate(text("next", 4)));
    // What follows the next request's first chunk is read after the cancellation.
    rank.first_token("next").await;
    rank.send(HostMessage::Ping);
    loop {
        match rank.message().await {
            RunnerMessage::Progress { .. } => break,
            RunnerMessage::Chunk { request_id, .. } => assert_eq!(request_id.as_str(), "next"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_idle_runner_answers_pings_and_does_not_move() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    let mut steps = Vec::new();
    for _ in 0..2 {
        rank.send(HostMessage::Ping);
        match rank.message().await {
            RunnerMessage::Progress { steps: at, busy } => steps.push((at, busy)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(steps[0], steps[1]);
    assert!(!steps[0].1, "idle is not busy");
}

#[tokio::test]
async fn pipelines_answer_as_one_process_does_token_for_token() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    let expect = rank.ask(text("r", 48)).await;
    for world in [2, 4] {
        let (mut ranks, _) = pipeline(&host, &model.path(), world).await;
        for id in ["first", "second"] {
            ranks[0].send(HostMessage::Generate(text(id, 48)));
            let answer = ranks[0].answer(id).await;
            assert_eq!((&answer.tokens, &answer.text), (&expect.tokens, &expect.text), "{world} ranks, {id}");
        }
    }
}

/// exo#2219: a ring of five nodes came up and stood still for ever at the first request.
#[tokio::test]
async fn issue_2219_five_ranks_answer_the_first_requests_that_they_get() {
    let (host, model) = (host(), model());
    let mut rank = alone(&host, &model.path()).await;
    let expect = rank.ask(text("alone", 24)).await;
    let (mut ranks, _) = pipeline(&host, &model.path(), LAYERS).await;
    // Two at once, and nothing before them that could have warmed anything up.
    ranks[0].send(HostMessage::Generate(text("first", 24)));
    ranks[0].send(HostMessage::Generate(text("with-it", 24)));
    for answer in ranks[0].answers(["first", "with-it"]).await {
        assert_eq!((answer.error, &answer.tokens), (None, &expect.tokens));
    }
}

#[tokio::test]
async fn a_lost_rank_fails_what_was_asked_and_the_others_connect_again() {
    let (host, model) = (host(), model());
    let (mut ranks, loaded) = pipeline(&host, &model.path(), 3).await;
    let expect = ranks[0].ask(text("before", 16)).await;

    ranks[0].send(HostMessage::Generate(text("lost", CONTEXT - 100)));
    ranks[0].first_token("lost").await;
    ranks[1].runner.kill();
    assert_eq!(ranks[0].answer("lost").await.error, Some(ErrorCode::PeerLost));
    assert_eq!(ranks[1].exit().await.signal, Some(9));

    let replaced = Load { incarnation: 5000, ..order(&model.path(), 1, 3) };
    ranks[1] = Rank::start(&host, replaced).await;
    let mut again = Vec::new();
    for rank in &mut ranks {
        again.push(rank.loaded().await);
    }
    for (old, new) in loaded.iter().zip(&again) {
        assert!(new.1 > old.1, "a new incarnation: {old:?} {new:?}");
    }
    assert_eq!(ranks[0].ask(text("early", 4)).await.error, Some(ErrorCode::NotReady));
    connect(&mut ranks, &again).await;
    // The same prompt: nothing of it may be left in the cache of rank 0 only.
    let answer = ranks[0].ask(text("after", 16)).await;
    assert_eq!((answer.error, answer.tokens), (None, expect.tokens));
}

#[tokio::test]
async fn a_rank_that_dies_while_nothing_is_asked_is_noticed() {
    let (host, model) = (host(), model());
    let (mut ranks, _) = pipeline(&host, &model.path(), 2).await;
    let expect = ranks[0].ask(text("before", 16)).await;
    ranks[1].runner.kill();
    let first = ranks[0].loaded().await;
    ranks[1] = Rank::start(&host, Load { incarnation: 5000, ..order(&model.path(), 1, 2) }).await;
    let second = ranks[1].loaded().await;
    connect(&mut ranks, &[first, second]).await;
    let answer = ranks[0].ask(text("after", 16)).await;
    assert_eq!((answer.error, answer.tokens), (None, expect.tokens));
}

#[tokio::test]
async fn ranks_that_share_layers_say_what_one_says() {
    let (host, model) = (host(), model());
    let mut one = alone(&host, &model.path()).await;
    let expect = one.ask(text("one", 30)).await;
    for (stages, size) in [(1, 2), (1, 3), (1, 4), (2, 2)] {
        let mut ranks = sharing(&host, &model.path(), stages, size).await;
        for id in ["first", "second"] {
            ranks[0].send(HostMessage::Generate(text(id, 30)));
            let answer = ranks[0].answer(id).await;
            assert_eq!((answer.error, &answer.tokens), (None, &expect.tokens), "{stages} stages of {size} ranks");
        }
    }
}

#[tokio::test]
async fn a_rank_of_a_group_that_dies_fails_the_group_and_the_others_begin_anew() {
    let (host, model) = (host(), model());
    let mut ranks = sharing(&host, &model.path(), 1, 3).await;
    ranks[0].send(HostMessage::Generate(text("lost", CONTEXT - 100)));
    ranks[0].first_token("lost").await;
    ranks[2].runner.kill();
    assert_eq!(ranks[0].answer("lost").await.error, Some(ErrorCode::PeerLost));
    let mut loaded = vec![ranks[0].loaded().await, ranks[1].loaded().await];
    ranks[2] = Rank::start(&host, Load { shard: shared(2, 1, 3), ..order(&model.path(), 2, LAYERS) }).await;
    loaded.push(ranks[2].loaded().await);
    connect(&mut ranks, &loaded).await;
    assert_eq!(ranks[0].ask(text("after", 8)).await.tokens.len(), 8);
}
