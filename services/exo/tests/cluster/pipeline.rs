//! One model over two nodes.

use crate::client::Client;
use crate::faults::{folder, goes_on, slow_model};
use crate::node::{Net, models, signal};

pub const MODEL: &str = "exo-guide";

pub const QUESTIONS: [&str; 3] = ["What is exo?", "How do I add a node?", "Where are the logs?"];

#[tokio::test]
async fn two_nodes_give_the_same_tokens_as_one() {
    let net = Net::new();
    let first = net.node("first", true, &models(), "");
    let second = net.node("second", false, &models(), "mode = \"worker\"");
    let _first = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    client.place(MODEL, 1).await;
    let mut alone = Vec::new();
    for question in QUESTIONS {
        alone.push(client.ask(MODEL, question, 80).await.expect("one node answers"));
    }
    let state = client.get("/state").await.expect("the api answers").1;
    let instance = state["instances"].as_object().and_then(|all| all.keys().next().cloned()).expect("an instance");
    client.delete(&format!("/instance/{instance}")).await;

    second.join(&first);
    let second_process = second.start("exo", &["up"]);
    client.place(MODEL, 2).await;
    for (question, expected) in QUESTIONS.iter().zip(&alone) {
        assert_eq!(client.ask(MODEL, question, 80).await.as_ref(), Ok(expected));
    }

    // A rank dies: it is started again, the other keeps its weights, and both serve on without help.
    let rank = *second_process.children().first().expect("the second node has a runner");
    signal(rank, "KILL");
    client.wait_for("/state", "the dead rank to be noticed", |_, state| !all_ready(state, 2)).await;
    client.wait_for("/state", "both ranks to be ready again", |_, state| all_ready(state, 2)).await;
    assert_eq!(client.ask(MODEL, QUESTIONS[0], 80).await.as_ref(), Ok(&alone[0]));
}

#[tokio::test]
async fn a_rank_that_dies_pauses_the_stream_and_changes_no_token() {
    goes_on_without_any_rank("Pipeline").await;
}

/// Kills each of the two ranks of a model that is cut so, under a stream.
pub async fn goes_on_without_any_rank(sharding: &str) {
    let (net, model) = (Net::new(), slow_model());
    let first = net.node("first", true, &folder(&model), "");
    let second = net.node("second", false, &folder(&model), "mode = \"worker\"");
    let first_process = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    second.join(&first);
    let second_process = second.start("exo", &["up"]);
    client.place_cut("model", 2, sharding).await;
    for process in [&second_process, &first_process] {
        let rank = *process.children().first().expect("each node has a runner");
        goes_on(&client, rank, "KILL").await;
        client.wait_for("/state", "both ranks to be ready again", |_, state| all_ready(state, 2)).await;
    }
}

/// So many runners are there, and ready.
pub fn all_ready(state: &serde_json::Value, ranks: usize) -> bool {
    let runners = state["runners"].as_object();
    let is_ready = |status: &serde_json::Value| status.get("RunnerReady").is_some();
    runners.is_some_and(|runners| runners.len() == ranks && runners.values().all(is_ready))
}
