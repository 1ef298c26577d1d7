//! `POST /v1/embeddings`.

use exo_types::{Event, ModelId};
use serde_json::json;

use crate::{
    Running,
    cluster::{download, instance, ready},
};

#[tokio::test]
async fn texts_and_tokens_get_their_vectors_in_their_order() {
    let running = Running::start("").await;
    let inputs: Vec<_> = (1..=20).map(|length| "x".repeat(length)).collect();
    let (status, body) =
        running.post("/v1/embeddings", json!({ "model": "exo-guide", "input": inputs, "pooling": "last" })).await;
    assert_eq!((status, &body["object"], &body["model"]), (200, &json!("list"), &json!("exo-guide")));
    let data = body["data"].as_array().expect("a list");
    assert_eq!(data.len(), 20);
    for (index, item) in data.iter().enumerate() {
        assert_eq!(*item, json!({ "object": "embedding", "index": index, "embedding": [index as f32 + 1.0, 2.0] }));
    }
    assert_eq!(body["usage"], json!({ "prompt_tokens": 210, "total_tokens": 210 }));
    let asked = json!({ "model": "exo-guide", "input": [1, 2, 3], "encoding_format": "base64" });
    let (status, body) = running.post("/v1/embeddings", asked).await;
    // 3.0 is 0x40400000, and 0.0.
    assert_eq!((status, &body["data"][0]["embedding"]), (200, &json!("AABAQAAAAAA=")));
    running.stop().await;
}

#[tokio::test]
async fn one_bad_input_fails_the_request_with_its_reason() {
    let running = Running::start("").await;
    let (status, body) =
        running.post("/v1/embeddings", json!({ "model": "exo-guide", "input": ["fine", "too long", "fine"] })).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("context_length_exceeded")));
    let (status, body) = running.post("/v1/embeddings", json!({ "model": "nobody", "input": "a" })).await;
    assert_eq!(status, 404, "{body}");
    let asked = json!({ "model": "exo-guide", "input": "a", "dimensions": 9 });
    let (status, body) = running.post("/v1/embeddings", asked).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("dimensions")));
    running.stop().await;
}

#[tokio::test]
async fn an_encoder_gives_vectors_and_says_that_it_gives_no_text() {
    let running = Running::start("").await;
    running.cluster.record(download("encoder")).await;
    let encoder = ModelId::new("encoder").expect("a good id");
    running.wait_until(|view| view.state.model_cards().contains_key(&encoder)).await;
    let (chat, text) = ("/v1/chat/completions", "/v1/completions");
    let asked = [
        (chat, json!({ "model": "encoder", "messages": [{ "role": "user", "content": "hi" }] })),
        (chat, json!({ "model": "encoder", "stream": true, "messages": [{ "role": "user", "content": "hi" }] })),
        (text, json!({ "model": "encoder", "prompt": "hi" })),
    ];
    // Before it is placed, so that nobody places it for nothing, and afterwards.
    for is_placed in [false, true] {
        if is_placed {
            running.cluster.record(Event::InstanceCreated { instance: instance("i2", "encoder") }).await;
            running.cluster.record(ready("i2")).await;
            running.wait_until(|view| view.state.ready_instances(&encoder).next().is_some()).await;
        }
        for (path, body) in &asked {
            let (status, body) = running.post(path, body.clone()).await;
            let error = &body["error"];
            assert_eq!((status, &error["code"], &error["param"]), (400, &json!("embeddings_only"), &json!("model")));
            assert!(error["message"].as_str().is_some_and(|message| message.contains("/v1/embeddings")), "{error}");
        }
    }
    let asked = json!({ "model": "encoder", "input": ["a", "bc"], "pooling": "cls" });
    let (status, body) = running.post("/v1/embeddings", asked).await;
    assert_eq!((status, &body["data"][1]["embedding"]), (200, &json!([2.0, 3.0])), "{body}");
    let (_, model) = running.get("/v1/models/encoder").await;
    assert_eq!((&model["tasks"], &model["ready"]), (&json!(["embeddings"]), &json!(true)));
    running.stop().await;
}
