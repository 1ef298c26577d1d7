//! Parts of a cluster die, hang or leave.

use crate::client::{Client, Line};
use crate::node::{Net, Node, Process, is_alive, signal};
use exo_testkit::{ModelSpec, TemporaryModel};
use std::path::Path;
use std::time::{Duration, Instant};

const MODEL: &str = "model";

/// Long enough to be in the middle of it: a generated model never ends by itself.
const LONG: u32 = 1800;

/// Still under way when something happens after its first piece, and soon over.
const STORY: u32 = 160;

/// A model that takes its time: tens of milliseconds for every hundred tokens.
pub fn slow_model() -> TemporaryModel {
    let spec = ModelSpec {
        layers: 12,
        hidden: 512,
        heads: 8,
        kv_heads: 4,
        head_width: 64,
        feed_forward: 1536,
        context: 2048,
        ..ModelSpec::default()
    };
    spec.write_temporary().expect("the model is written")
}

/// One machine with its three services as processes of their own.
struct Machine {
    master: Process,
    worker: Process,
    #[expect(dead_code, reason = "held so that it lives as long as the machine")]
    api: Process,
    client: Client,
    /// Last: its folder has the logs that the processes show when a test fails.
    node: Node,
}

impl Machine {
    async fn start(models: &Path) -> Self {
        Self::start_with(models, "").await
    }

    async fn start_with(models: &Path, engine: &str) -> Self {
        let net = Net::new();
        let node = net.node_with("one", true, models, "", engine);
        let master = node.start("exo-master", &[]);
        let worker = node.start("exo-worker", &[]);
        let api = node.start("exo-api", &[]);
        let client = Client::new(node.api_port);
        client.wait_until_ready().await;
        client.place(MODEL, 1).await;
        Self { node, master, worker, api, client }
    }

    fn runner(&self) -> u32 {
        *self.worker.children().first().expect("the worker has a runner")
    }
}

pub fn folder(model: &TemporaryModel) -> std::path::PathBuf {
    model.path().parent().expect("a file lies in a folder").to_path_buf()
}

#[tokio::test]
async fn a_stream_goes_on_when_the_master_is_killed() {
    let model = slow_model();
    let mut machine = Machine::start(&folder(&model)).await;
    let mut answer = machine.client.stream(MODEL, 400).await;
    assert!(matches!(answer.next().await, Line::Text(_)));
    machine.master.kill();
    let lines = answer.rest().await;
    assert_eq!(lines.last(), Some(&Line::Finish("length".to_owned())));
    let next = machine.client.ask(MODEL, "hello", 5).await;
    assert!(next.is_ok(), "placed models keep serving without a master: {next:?}");
}

#[tokio::test]
async fn what_was_placed_is_there_again_after_a_killed_master_starts_anew() {
    let model = slow_model();
    let mut machine = Machine::start(&folder(&model)).await;
    let before = machine.client.get("/state").await.expect("the api answers").1;
    machine.master.kill();
    machine.master = machine.node.start("exo-master", &[]);
    let index = before["lastEventAppliedIdx"].as_u64().expect("an index");
    let after = machine
        .client
        .wait_for("/state", "the log to go on where it ended", |_, state| {
            state["lastEventAppliedIdx"].as_u64().is_some_and(|now| now >= index)
                && state["instances"].as_object().is_some_and(|instances| !instances.is_empty())
        })
        .await;
    assert_eq!(before["instances"], after["instances"]);
}

/// Disturbs a stream after its first piece; it must say what an undisturbed one says.
pub async fn goes_on(client: &Client, runner: u32, signal_name: &str) {
    let expect = client.stream(MODEL, STORY).await.transcript().await;
    let mut answer = client.stream(MODEL, STORY).await;
    let Line::Text(mut text) = answer.next().await else { panic!("a text was expected") };
    signal(runner, signal_name);
    let disturbed = Instant::now();
    // What was on its way comes at once; then comes the pause.
    let (mut longest, mut last) = (Duration::ZERO, disturbed);
    let ends = loop {
        match answer.next().await {
            Line::Text(next) => text += &next,
            end => break end,
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
    };
    println!("{longest:?} of pause after {signal_name}");
    assert_eq!((text, vec![ends]), expect);
}

#[tokio::test]
async fn a_killed_runner_pauses_its_stream_and_changes_no_token() {
    let model = slow_model();
    let machine = Machine::start(&folder(&model)).await;
    let runner = machine.runner();
    goes_on(&machine.client, runner, "KILL").await;
    assert_ne!(machine.runner(), runner);
    assert!(is_alive(machine.worker.id()));
}

#[tokio::test]
async fn a_stream_whose_model_is_taken_away_ends_with_an_error() {
    let model = slow_model();
    let machine = Machine::start(&folder(&model)).await;
    let mut answer = machine.client.stream(MODEL, LONG).await;
    assert!(matches!(answer.next().await, Line::Text(_)));
    let state = machine.client.get("/state").await.expect("the api answers").1;
    let instance = state["instances"].as_object().and_then(|all| all.keys().next().cloned()).expect("an instance");
    machine.client.delete(&format!("/instance/{instance}")).await;
    let taken = Instant::now();
    let (_, ends) = answer.transcript().await;
    println!("{:?} from the end of the instance to the error", taken.elapsed());
    assert_eq!(ends, [Line::Error("not_ready".to_owned())]);
}

#[tokio::test]
async fn a_hung_runner_is_noticed_and_replaced() {
    let model = slow_model();
    let machine = Machine::start(&folder(&model)).await;
    let runner = machine.runner();
    goes_on(&machine.client, runner, "STOP").await;
    assert!(!is_alive(runner));
}

#[tokio::test]
async fn a_worker_that_stands_still_is_marked_and_is_back_when_it_goes_on() {
    let model = slow_model();
    let machine = Machine::start(&folder(&model)).await;
    let nodes = |state: &serde_json::Value| state["topology"]["nodes"].as_array().map_or(0, Vec::len);
    machine.worker.signal("STOP");
    let stopped = Instant::now();
    machine.client.wait_for("/state", "the node to be marked", |_, state| nodes(state) == 0).await;
    println!("{:?} until it was marked", stopped.elapsed());
    machine.worker.signal("CONT");
    machine.client.wait_for("/state", "the node to be back", |_, state| nodes(state) == 1).await;
    machine.client.wait_until_placed(MODEL).await;
    assert!(machine.client.ask(MODEL, "hello", 5).await.is_ok());
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_generation() {
    let model = slow_model();
    let machine = Machine::start_with(&folder(&model), "maxSequences = 1").await;
    let mut answer = machine.client.stream(MODEL, LONG).await;
    assert!(matches!(answer.next().await, Line::Text(_)));
    drop(answer);
    // The only place is taken until the abandoned answer, which has half a minute to go, is ended.
    let next = tokio::time::timeout(Duration::from_secs(10), machine.client.ask(MODEL, "hello", 5)).await;
    assert!(matches!(next, Ok(Ok(_))), "{next:?}");
}

#[tokio::test]
async fn nothing_is_left_after_a_stop() {
    let model = slow_model();
    let net = Net::new();
    let node = net.node("one", true, &folder(&model), "");
    let mut exo = node.start("exo", &["up"]);
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    client.place(MODEL, 1).await;
    let children = exo.children();
    assert!(!children.is_empty(), "a runner is there");
    assert!(exo.stop().success(), "{}", exo.log());
    for child in children {
        assert!(!is_alive(child), "runner {child} outlived its worker");
    }
}

#[tokio::test]
async fn a_killed_worker_takes_its_runners_with_it() {
    let model = slow_model();
    let mut machine = Machine::start(&folder(&model)).await;
    let runner = machine.runner();
    machine.worker.kill();
    let begin = Instant::now();
    while is_alive(runner) {
        assert!(begin.elapsed() < Duration::from_secs(10), "runner {runner} outlived its worker");
        tokio::task::yield_now().await;
    }
    machine.worker = machine.node.start("exo-worker", &[]);
    machine.client.wait_until_placed(MODEL).await;
    assert!(machine.client.ask(MODEL, "hello", 5).await.is_ok());
}
