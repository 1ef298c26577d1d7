//! Failures that EXO had in public and that an api can have. The list: docs/failures.md.

use crate::cluster::{instance, node};
use crate::{Running, events};
use exo_types::{Event, RunnerFailure, RunnerId, RunnerStatus};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The api's deadline here; every test below ends well before its own.
const SHORT: &str = "requestTimeout = \"2s\"\nstreamTimeout = \"1s\"";

/// A deadline with what a busy machine adds.
const ENDED: Duration = Duration::from_secs(6);

async fn code_of(running: &Running, text: &str) -> (u16, String, Duration) {
    let begin = Instant::now();
    let response = running.chat(text, false).await;
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("an error is JSON");
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned(), begin.elapsed())
}

/// exo#1804: requests went to instances whose machine was gone, and hung for ever.
#[tokio::test]
async fn issue_1804_a_request_to_an_instance_whose_node_is_gone_ends_with_an_error() {
    let running = Running::start(SHORT).await;
    running.cluster.kill_worker();
    // The State does not know yet: the api finds out by asking.
    let (status, code, took) = code_of(&running, "hello").await;
    assert!((502..=504).contains(&status) && !code.is_empty(), "{status} {code}");
    assert!(took < ENDED, "{took:?}");
    // And when it knows, nobody is asked.
    running.cluster.record(Event::NodeTimedOut { node_id: node("worker") }).await;
    running.wait_until(|view| view.state.runners.is_empty()).await;
    let (status, code, took) = code_of(&running, "hello").await;
    assert_eq!((status, &*code), (503, "model_loading"));
    assert!(took < ENDED, "{took:?}");
    running.stop().await;
}

/// The same for a request that is under way when the machine goes.
#[tokio::test]
async fn issue_1804_an_answer_under_way_ends_when_its_node_is_gone() {
    let running = Running::start(SHORT).await;
    let response = running.chat("for ever", true).await;
    running.cluster.kill_worker();
    let begin = Instant::now();
    let lines = events(response).await;
    assert!(begin.elapsed() < ENDED, "{:?}", begin.elapsed());
    let [.., error, done] = &lines[..] else { panic!("{lines:?}") };
    assert!(error.contains("\"error\"") && error.contains("\"code\""), "{error}");
    assert_eq!(done, "[DONE]");
    running.stop().await;
}

/// Of two instances the one with a dead runner gets no request, though it has the fewest.
#[tokio::test]
async fn issue_1804_no_request_goes_to_an_instance_with_a_dead_runner() {
    let running = Running::start(SHORT).await;
    running.cluster.record(Event::InstanceCreated { instance: instance("a-dead-one", "exo-guide") }).await;
    let runner_id = RunnerId::new("a-dead-one-runner").expect("a good id");
    let failure = RunnerFailure { error_message: "signal 11".to_owned(), attempt: 1, retry: true };
    let runner_status = RunnerStatus::RunnerFailed { failure };
    running.cluster.record(Event::RunnerStatusUpdated { runner_id, runner_status }).await;
    running.wait_until(|view| view.state.runners.len() == 2).await;
    for _ in 0..8 {
        let response = running.chat("hello there", false).await;
        assert_eq!(response.status().as_u16(), 200);
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["choices"][0]["message"]["content"], json!("hello there"));
    }
    running.stop().await;
}
