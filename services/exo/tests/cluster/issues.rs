//! Failures that EXO had in public, with real processes. The list: docs/failures.md.

use crate::client::{Client, Line};
use crate::faults::{folder, slow_model};
use crate::node::{Net, is_alive, models, signal};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// The same model under a second name.
fn also_as(folder: &Path, name: &str) {
    std::fs::hard_link(folder.join("model.gguf"), folder.join(format!("{name}.gguf"))).expect("a second name");
}

/// exo#2176: a crash in one runner took all of the node with it.
#[tokio::test]
async fn issue_2176_the_crash_of_a_runner_takes_nothing_else_with_it() {
    let model = slow_model();
    also_as(&folder(&model), "other");
    let node = Net::new().node("one", true, &folder(&model), "");
    let (master, worker, api) =
        (node.start("exo-master", &[]), node.start("exo-worker", &[]), node.start("exo-api", &[]));
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    client.place("model", 1).await;
    let first = worker.children();
    client.place("other", 1).await;
    let mut crashing = client.stream("model", 400).await;
    let mut untouched = client.stream("other", 400).await;
    for answer in [&mut crashing, &mut untouched] {
        assert!(matches!(answer.next().await, Line::Text(_)));
    }
    signal(first[0], "ABRT");
    assert_eq!(
        crashing.rest().await.last(),
        Some(&Line::Finish("length".to_owned())),
        "it goes on with the next runner"
    );
    assert_eq!(untouched.rest().await.last(), Some(&Line::Finish("length".to_owned())), "the neighbour goes on");
    for process in [&master, &worker, &api] {
        assert!(is_alive(process.id()), "{}", process.log());
    }
    client.wait_until_placed("model").await;
    assert!(client.ask("model", "hello", 5).await.is_ok(), "replaced without help");
}

/// exo#1801: a restarted worker met the runner of its former life, and both held the memory and the port.
#[tokio::test]
async fn issue_1801_an_old_runner_does_not_live_beside_the_new_worker() {
    let model = slow_model();
    let node = Net::new().node("one", true, &folder(&model), "");
    let _master = node.start("exo-master", &[]);
    let mut worker = node.start("exo-worker", &[]);
    let _api = node.start("exo-api", &[]);
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    client.place("model", 1).await;
    let old = worker.children()[0];
    // It cannot end by itself any more: it does not run.
    signal(old, "STOP");
    worker.kill();
    let worker = node.start("exo-worker", &[]);
    let begin = Instant::now();
    while worker.children().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", worker.log());
        tokio::task::yield_now().await;
    }
    assert!(!is_alive(old), "runner {old} of the former worker lives beside the new one's");
    client.wait_until_placed("model").await;
    assert!(client.ask("model", "hello", 5).await.is_ok());
}

/// exo#1325: nodes found each other, and the work stayed where it was.
#[tokio::test]
async fn issue_1325_nodes_that_find_each_other_share_the_work() {
    let net = Net::discovering();
    let first = net.node("first", true, &models(), "");
    let second = net.node("second", false, &models(), "mode = \"worker\"");
    let first_process = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    second.join(&first);
    let second_process = second.start("exo", &["up"]);
    client.place("exo-guide", 2).await;
    let state = client.get("/state").await.expect("the api answers").1;
    let instance = state["instances"].as_object().and_then(|all| all.values().next()).expect("an instance");
    let nodes = instance["shardAssignments"]["nodeToRunner"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(nodes, 2, "{instance}");
    assert_eq!((first_process.children().len(), second_process.children().len()), (1, 1), "a runner on each");
    assert!(client.ask("exo-guide", "What is exo?", 20).await.is_ok());
}

/// exo#1833: whoever reached the port could list the instances and delete them.
#[tokio::test]
async fn issue_1833_only_who_has_a_key_takes_an_instance_away() {
    let node = Net::new().node("one", true, &models(), "");
    let keys = node.folder().join("keys");
    std::fs::write(&keys, "right-key\n").expect("the test's folder can be written to");
    let setting = format!("api.keyFile={}", keys.display());
    let _exo = node.start("exo", &["up", "--set", &setting]);
    let http = reqwest::Client::new();
    let ask = async |method: Method, path: &str, key: Option<&str>, body: Option<Value>| {
        let request = http.request(method, format!("http://127.0.0.1:{}{path}", node.api_port));
        let request = key.into_iter().fold(request, |request, key| request.bearer_auth(key));
        let request = body.iter().fold(request, |request, body| request.json(body));
        request.timeout(crate::node::DEADLINE).send().await
    };
    let begin = Instant::now();
    let placed = loop {
        let body = json!({ "model_id": "exo-guide" });
        match ask(Method::POST, "/place_instance", Some("right-key"), Some(body)).await {
            Ok(response) if response.status() == StatusCode::OK => break response,
            other => assert!(begin.elapsed() < crate::node::DEADLINE, "{other:?}"),
        }
        tokio::task::yield_now().await;
    };
    let placed: Value = placed.json().await.expect("JSON");
    let path = format!("/instance/{}", placed["instance_id"].as_str().expect("a name"));
    for key in [None, Some("wrong-key"), Some("")] {
        for (method, path) in [(Method::DELETE, &*path), (Method::GET, "/state"), (Method::POST, "/instance")] {
            let response = ask(method.clone(), path, key, None).await.expect("the api answers");
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path} with {key:?}");
        }
    }
    // A page in the browser of somebody who has the key is nobody either.
    let response = http
        .delete(format!("http://127.0.0.1:{}{path}", node.api_port))
        .bearer_auth("right-key")
        .header("origin", "http://evil.example")
        .send()
        .await
        .expect("the api answers");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let there = ask(Method::GET, &path, Some("right-key"), None).await.expect("the api answers");
    assert_eq!(there.status(), StatusCode::OK, "it is still there");
    let gone = ask(Method::DELETE, &path, Some("right-key"), None).await.expect("the api answers");
    assert_eq!(gone.status(), StatusCode::OK);
}
