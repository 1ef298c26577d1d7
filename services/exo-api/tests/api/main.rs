//! The api over real HTTP, with a fake master and a fake worker on the memory bus.

mod cluster;
mod embeddings;
mod events;
mod issues;
mod probes;

use cluster::{Cluster, instance, node, ready};
use exo_api::{Api, ApiContext};
use exo_config::{Config, Sources, Surroundings, load};
use exo_node::{Identity, Node, NodeHandle, Role};
use exo_telemetry::Notifier;
use exo_types::{Event, InstanceId, Intent, IntentId, ModelId, PlaceInstance, RunnerId, RunnerStatus, Sharding};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; a test that hangs fails by it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    cluster: Cluster,
    address: SocketAddr,
    node: NodeHandle,
    client: Client,
    shutdown: CancellationToken,
    task: JoinSet<Result<(), exo_api::StartError>>,
}

fn config(more: &str) -> Arc<Config> {
    let surroundings = Surroundings { host_name: "atlas".to_owned(), data_dir: "/nowhere".to_owned() };
    let text = format!("[api]\nport = 0\n{more}");
    let sources = Sources { surroundings, file: Some(("test", &text)), environment: Vec::new(), flags: Vec::new() };
    Arc::new(load(&sources).expect("a good configuration").config)
}

impl Running {
    async fn start(more: &str) -> Self {
        let cluster = Cluster::start().await;
        let bus = cluster.network.join(node("api")).await.expect("the memory bus is open to all");
        let identity = Identity { node_id: node("api"), role: Role::Api };
        let node = Node::join(&bus, identity).await.expect("the memory bus is open to all");
        let status = Notifier::from_environment().service("api");
        let api =
            Api::bind(ApiContext { config: config(more), bus, node: node.clone(), status }).await.expect("a free port");
        let (address, shutdown) = (api.address(), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn(api.serve(shutdown.clone()));
        let running = Self { cluster, address, node, client: Client::new(), shutdown, task };
        running.wait_until(|view| view.state.instances.len() == 1 && !view.state.runners.is_empty()).await;
        running
    }

    async fn wait_until(&self, is_so: impl FnMut(&exo_node::View) -> bool) {
        let mut view = self.node.view();
        timeout(PATIENCE, view.wait_for(is_so)).await.expect("events arrive").expect("the node follows");
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        timeout(PATIENCE, request.send()).await.expect("answered").expect("a connection")
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.ask(Method::GET, path, None).await;
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.ask(Method::POST, path, Some(body)).await;
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn chat(&self, text: &str, stream: bool) -> Response {
        self.ask(Method::POST, "/v1/chat/completions", Some(chat("exo-guide", text, stream))).await
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = timeout(PATIENCE, self.task.join_next()).await.expect("it ends").expect("one task");
        ended.expect("without a panic").expect("without an error");
    }
}

fn chat(model: &str, text: &str, stream: bool) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }], "stream": stream })
}

/// The data of a stream's events, ids and dates replaced.
async fn events(response: Response) -> Vec<String> {
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = timeout(PATIENCE, response.text()).await.expect("it ends").expect("UTF-8");
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.map(|data| match serde_json::from_str::<Value>(data) {
        Ok(mut value) => {
            for (key, blank) in [("id", json!("ID")), ("created", json!(0))] {
                if let Some(field) = value.get_mut(key) {
                    *field = blank;
                }
            }
            value.to_string()
        }
        Err(_) => data.to_owned(),
    })
    .collect()
}

fn chunk(delta: &str, finish_reason: &str) -> String {
    format!(
        r#"{{"id":"ID","object":"chat.completion.chunk","created":0,"model":"exo-guide","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]}}"#
    )
}

#[tokio::test]
async fn an_answer_at_once_is_openais() {
    let running = Running::start("").await;
    let response = running.chat("hello there", false).await;
    assert_eq!(response.status(), 200);
    let mut answer: Value = response.json().await.expect("JSON");
    assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert!(answer["created"].as_u64().is_some_and(|created| created > 1_700_000_000));
    answer["id"] = json!("ID");
    answer["created"] = json!(0);
    let expect = json!({
        "id": "ID", "object": "chat.completion", "created": 0, "model": "exo-guide",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hello there", "refusal": null },
            "logprobs": null, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7,
            "prompt_tokens_details": { "cached_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0 } },
    });
    assert_eq!(answer, expect);
    running.stop().await;
}

#[tokio::test]
async fn a_streamed_answer_is_openais_event_by_event() {
    let running = Running::start("").await;
    let expect = [
        chunk(r#"{"role":"assistant","content":""}"#, "null"),
        chunk(r#"{"content":"hello "}"#, "null"),
        chunk(r#"{"content":"there"}"#, "null"),
        chunk("{}", r#""stop""#),
        "[DONE]".to_owned(),
    ];
    assert_eq!(events(running.chat("hello there", true).await).await, expect);
    running.stop().await;
}

#[tokio::test]
async fn a_failure_is_a_status_before_the_first_token_and_an_event_after_it() {
    let running = Running::start("").await;
    for stream in [false, true] {
        let response = running.chat("too long", stream).await;
        assert_eq!(response.status(), 400);
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "context_length_exceeded");
    }
    assert_eq!(running.chat("crash", false).await.status(), 502);
    assert_eq!(running.chat("cut", false).await.status(), 502);
    for (text, code) in [("crash", "runner_lost"), ("cut", "peer_lost")] {
        let events = events(running.chat(text, true).await).await;
        let [.., error, done] = &events[..] else { panic!("{events:?}") };
        assert!(error.contains(&format!(r#""code":"{code}""#)) && done == "[DONE]", "{events:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn an_answer_goes_on_when_its_runner_is_lost_and_is_counted_once() {
    let running = Running::start("").await;
    let expect = events(running.chat("one two three four five", true).await).await;
    let disturbed = events(running.chat("stumble one two three four five", true).await).await;
    assert_eq!(disturbed, expect);
    let metrics = running.ask(Method::GET, "/metrics", None).await.text().await.expect("text");
    for line in
        ["exo_api_generations_finished_total 2", "exo_api_completion_tokens_total 4", "exo_api_cached_tokens_total 0"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let whole: Value = running.chat("stumble a b", false).await.json().await.expect("JSON");
    assert_eq!(whole["choices"][0]["message"]["content"], "a b");
    running.stop().await;
}

#[tokio::test]
async fn an_answer_whose_instance_is_taken_away_ends_with_an_error() {
    let running = Running::start("").await;
    let mut response = running.chat("for ever", true).await;
    let mut seen = String::new();
    while !seen.contains("so") {
        let bytes = response.chunk().await.expect("it streams").expect("it goes on");
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
    let instance_id = InstanceId::new("i1").expect("a good id");
    running.cluster.record(Event::InstanceDeleted { instance_id }).await;
    running.wait_until(|view| view.state.instances.is_empty()).await;
    running.cluster.kill_worker();
    let rest = response.text().await.expect("the rest");
    assert!(rest.contains(r#""code":"peer_lost""#), "{rest}");
    running.stop().await;
}

#[tokio::test]
async fn generation_stops_when_the_client_is_gone() {
    let mut running = Running::start("").await;
    let mut response = running.chat("for ever", true).await;
    let mut seen = String::new();
    while !seen.contains("so") {
        let bytes = response.chunk().await.expect("it streams").expect("it goes on");
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
    drop(response);
    running.client = Client::new();
    timeout(PATIENCE, running.cluster.cancelled.recv()).await.expect("noticed").expect("told");
    running.stop().await;
}

#[tokio::test]
async fn generation_stops_when_it_is_cancelled_by_its_id() {
    let mut running = Running::start("").await;
    let mut response = running.chat("for ever", true).await;
    let mut seen = String::new();
    while !seen.contains("so") {
        let bytes = response.chunk().await.expect("it streams").expect("it goes on");
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
    let id = seen.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned();
    assert_eq!(running.post(&format!("/v1/cancel/{id}"), json!({})).await.0, 200);
    assert!(response.text().await.expect("the rest").contains(r#""code":"cancelled""#));
    timeout(PATIENCE, running.cluster.cancelled.recv()).await.expect("noticed").expect("told");
    assert_eq!(running.post("/v1/cancel/nobody", json!({})).await.0, 404);
    running.stop().await;
}

#[tokio::test]
async fn a_stream_without_progress_ends_with_an_error() {
    let running = Running::start("streamTimeout = \"1s\"").await;
    let events = events(running.chat("for ever", true).await).await;
    assert!(events.iter().any(|event| event.contains(r#""code":"runner_hung""#)), "{events:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_stopping_api_ends_its_streams_with_an_error() {
    let running = Running::start("").await;
    let response = running.chat("for ever", true).await;
    running.shutdown.cancel();
    let events = events(response).await;
    assert!(events.iter().any(|event| event.contains(r#""code":"shutting_down""#)), "{events:?}");
    running.stop().await;
}

/// Its wish is in the State, and the master is about to place it, perhaps again.
#[tokio::test]
async fn a_model_that_is_wanted_is_on_its_way_and_not_missing() {
    let running = Running::start("").await;
    let place = PlaceInstance {
        model_id: ModelId::new("org/other").expect("a good id"),
        sharding: Sharding::default(),
        min_nodes: 1,
        node_ids: Vec::new(),
        context_length: None,
    };
    let intent = Intent { id: IntentId::new("wish").expect("a good id"), place, max_sequences: None };
    running.cluster.record(Event::IntentRecorded { intent }).await;
    running.wait_until(|view| view.state.intents.len() == 1).await;
    let (status, body) = running.post("/v1/chat/completions", chat("org/other", "hi", false)).await;
    assert_eq!((status, &body["error"]["code"]), (503, &json!("model_loading")));
    running.stop().await;
}

#[tokio::test]
async fn a_model_that_does_not_answer_is_told_with_what_to_do() {
    let running = Running::start("").await;
    let (status, body) = running.post("/v1/chat/completions", chat("org/other", "hi", false)).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("model_not_placed")));
    let message = body["error"]["message"].as_str().expect("a text");
    assert!(message.contains("exo place org/other") && message.contains("/place_instance"), "{message}");
    let (status, body) = running.post("/v1/chat/completions", chat("gpt-9", "hi", false)).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(body["error"]["param"], "model");

    running.cluster.record(Event::InstanceCreated { instance: instance("i2", "org/other") }).await;
    let runner_id = RunnerId::new("i2-runner").expect("a good id");
    let runner_status = RunnerStatus::RunnerLoading { layers_loaded: 1, total_layers: 4 };
    running.cluster.record(Event::RunnerStatusUpdated { runner_id, runner_status }).await;
    running.wait_until(|view| view.state.runners.len() == 2).await;
    let response = running.ask(Method::POST, "/v1/chat/completions", Some(chat("org/other", "hi", false))).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().expect("a value")));
    let body: Value = response.json().await.expect("JSON");
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("1 of 4 layers")), "{body}");

    running.cluster.record(ready("i2")).await;
    let response = running.ask(Method::GET, "/instance/await?model_id=org/other&timeout_seconds=20", None).await;
    assert!(events(response).await[0].contains(r#""type":"ready""#));
    let (status, _) = running.post("/v1/chat/completions", chat("org/other", "hi", false)).await;
    assert_eq!(status, 200);
    running.stop().await;
}

#[tokio::test]
async fn placing_answers_the_masters_decision() {
    let running = Running::start("").await;
    let (status, body) = running.post("/place_instance", json!({ "model_id": "org/other", "min_nodes": 1 })).await;
    assert_eq!((status, &body["instance_id"]), (200, &json!("i2")));
    assert_eq!(body["command_id"], body["task_id"]);
    let (status, body) = running.post("/place_instance", json!({ "model_id": "huge" })).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("does_not_fit")));
    let (status, body) = running.post("/instance", json!({ "instance": instance("i3", "org/other") })).await;
    assert_eq!((status, &body["model_card"]["modelId"]), (200, &json!("org/other")));
    let response = running.ask(Method::DELETE, "/instance/i1", None).await;
    assert_eq!(response.json::<Value>().await.expect("JSON")["instance_id"], "i1");
    let (status, body) = running.get("/instance/previews").await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("model_id")));
    running.stop().await;
}

#[tokio::test]
async fn what_was_done_shows_in_what_the_same_api_tells_next() {
    let running = Running::start("").await;
    running.cluster.tell(false);
    let looks_often = async {
        running.cluster.answered_one().await;
        for _ in 0..20 {
            assert_eq!(running.get("/instance/i1").await.0, 200, "nobody told of its end");
        }
    };
    let deleted = {
        let mut deleting = std::pin::pin!(running.ask(Method::DELETE, "/instance/i1", None));
        tokio::select! {
            biased;
            _ = &mut deleting => panic!("answered before it shows"),
            () = looks_often => running.cluster.tell(true),
        }
        deleting.await
    };
    assert_eq!(deleted.status(), 200);
    let (status, body) = running.get("/instance/i1").await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("not_found")));
    running.stop().await;
}

#[tokio::test]
async fn previews_tell_what_a_placement_would_come_to() {
    let running = Running::start("").await;
    let (status, body) = running.get("/instance/previews?model_id=org/other").await;
    let previews = body["previews"].as_array().expect("a list");
    let [pipeline, tensor] = &previews[..] else { panic!("{body}") };
    assert_eq!((status, &pipeline["sharding"], &pipeline["error"]), (200, &json!("Pipeline"), &Value::Null));
    assert!(pipeline["instance"]["shardAssignments"]["nodeToRunner"]["worker"].is_string(), "{body}");
    assert!(pipeline["memory_delta_by_node"]["worker"].is_number(), "{body}");
    assert_eq!((&tensor["sharding"], &tensor["instance"]), (&json!("Tensor"), &Value::Null));
    assert!(tensor["error"].is_string(), "{body}");
    assert_eq!(running.get("/instance/previews?model_id=gpt-9").await.0, 404);
    running.stop().await;
}

#[tokio::test]
async fn what_there_is_can_be_asked_for() {
    let running = Running::start("").await;
    let (_, models) = running.get("/v1/models").await;
    let ids: Vec<_> = models["data"].as_array().expect("a list").iter().map(|model| model["id"].clone()).collect();
    assert_eq!((&models["object"], ids), (&json!("list"), vec![json!("exo-guide"), json!("org/other")]));
    assert_eq!(running.get("/v1/models/org/other").await.1["ready"], false);
    assert_eq!(running.get("/models/exo-guide").await.1["ready"], true);
    assert_eq!(running.get("/v1/models/none").await.0, 404);
    assert_eq!(running.get("/node_id").await, (200, json!("api")));
    assert_eq!(running.get("/state").await.1["instances"]["i1"]["contextLength"], 512);
    assert_eq!(running.get("/state/instances/i1/contextLength").await, (200, json!(512)));
    assert_eq!(running.get("/state/nothing").await.0, 404);
    assert_eq!(running.get("/instance/i1").await.1["instanceId"], "i1");
    assert_eq!(running.get("/instance/i9").await.0, 404);
    assert_eq!(running.get("/livez").await.0, 200);
    assert_eq!(running.get("/readyz").await.1["leader"], "master");
    let metrics = running.ask(Method::GET, "/metrics", None).await.text().await.expect("text");
    for line in ["exo_instances_ready 1", "exo_has_leader 1", "# TYPE exo_bus_lost_links counter", "# EOF"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    for path in ["/", "/page.js", "/page.css"] {
        let response = running.ask(Method::GET, path, None).await;
        assert!(response.headers()["content-security-policy"].to_str().is_ok_and(|policy| policy.contains("'none'")));
    }
    running.stop().await;
}

#[tokio::test]
async fn wrong_bodies_are_refused_by_field() {
    let running = Running::start("maxBodyBytes = \"1 KiB\"").await;
    let (status, body) = running.post("/v1/chat/completions", json!({ "model": "exo-guide" })).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("messages")));
    let (status, body) = running.post("/v1/chat/completions", chat("exo-guide", &"x".repeat(2000), false)).await;
    assert_eq!((status, &body["error"]["code"]), (413, &json!("body_too_large")));
    running.stop().await;
}
