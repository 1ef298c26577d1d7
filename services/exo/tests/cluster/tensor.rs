//! One model whose every layer several nodes share.

use crate::client::Client;
use crate::node::{Net, models};
use crate::pipeline::{MODEL, QUESTIONS, all_ready, goes_on_without_any_rank};
use serde_json::{Value, json};

#[tokio::test]
async fn two_and_three_nodes_that_share_every_layer_give_the_same_tokens_as_one() {
    let net = Net::new();
    let first = net.node("first", true, &models(), "");
    let others = [
        net.node("second", false, &models(), "mode = \"worker\""),
        net.node("third", false, &models(), "mode = \"worker\""),
    ];
    let _first = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    client.place(MODEL, 1).await;
    let alone = answers(&client).await;
    remove(&client).await;
    others.iter().for_each(|other| other.join(&first));
    let _others = others.each_ref().map(|other| other.start("exo", &["up"]));
    for ranks in [2, 3] {
        client.place_cut(MODEL, ranks, "Tensor").await;
        let state = client.get("/state").await.expect("the api answers").1;
        assert!(all_ready(&state, ranks as usize) && shares(&state) == u64::from(ranks), "{}", state["instances"]);
        assert_eq!(answers(&client).await, alone, "{ranks} ranks");
        remove(&client).await;
    }
    // There is no way to share eight heads between nine.
    let (status, answer) = client
        .post("/place_instance", &json!({"model_id": MODEL, "min_nodes": 9, "sharding": "Tensor"}))
        .await
        .expect("the api answers");
    assert!(status == 400 && answer.to_string().contains("8 heads"), "{status}: {answer}");
}

#[tokio::test]
async fn a_rank_that_dies_in_a_group_pauses_the_stream_and_changes_no_token() {
    goes_on_without_any_rank("Tensor").await;
}

async fn answers(client: &Client) -> Vec<String> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        answers.push(client.ask(MODEL, question, 80).await.expect("it answers"));
    }
    answers
}

async fn remove(client: &Client) {
    let state = client.get("/state").await.expect("the api answers").1;
    let instance = state["instances"].as_object().and_then(|all| all.keys().next().cloned()).expect("an instance");
    client.delete(&format!("/instance/{instance}")).await;
    client.wait_for("/state", "its runners to be gone", |_, state| runners(state).next().is_none()).await;
}

fn runners(state: &Value) -> impl Iterator<Item = &Value> {
    state["runners"].as_object().into_iter().flatten().map(|(_, status)| status)
}

/// Into how many shares the layers of the only instance are cut.
fn shares(state: &Value) -> u64 {
    let instance = state["instances"].as_object().into_iter().flatten().map(|(_, instance)| instance).next();
    let shards = instance.and_then(|instance| instance["shardAssignments"]["runnerToShard"].as_object());
    shards.into_iter().flatten().map(|(_, shard)| shard["tensor"]["size"].as_u64().unwrap_or(1)).max().unwrap_or(0)
}
