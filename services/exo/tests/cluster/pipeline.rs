//! One model over two nodes.

use crate::client::Client;
use crate::faults::{folder, goes_on, slow_model};
use crate::node::{Net, models, signal};

const MODEL: &str = "exo-guide";

const QUESTIONS: [&str; 3] = ["What is exo?", "How do I add a node?", "Where are the logs?"];

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
    client.wait_for("/state", "the dead rank to be noticed", |_, state| !all_ready(state)).await;
    client.wait_for("/state", "both ranks to be ready again", |_, state| all_ready(state)).await;
    assert_eq!(client.ask(MODEL, QUESTIONS[0], 80).await.as_ref(), Ok(&alone[0]));
}

#[tokio::test]
async fn a_rank_that_dies_pauses_the_stream_and_changes_no_token() {
    let (net, model) = (Net::new(), slow_model());
    let first = net.node("first", true, &folder(&model), "");
    let second = net.node("second", false, &folder(&model), "mode = \"worker\"");
    let first_process = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    second.join(&first);
    let second_process = second.start("exo", &["up"]);
    client.place("model", 2).await;
    for process in [&second_process, &first_process] {
        let rank = *process.children().first().expect("each node has a runner");
        goes_on(&client, rank, "KILL").await;
        client.wait_for("/state", "both ranks to be ready again", |_, state| all_ready(state)).await;
    }
}

fn all_ready(state: &serde_json::Value) -> bool {
    let runners = state["runners"].as_object();
    runners
        .is_some_and(|runners| runners.len() == 2 && runners.values().all(|status| status.get("RunnerReady").is_some()))
}
