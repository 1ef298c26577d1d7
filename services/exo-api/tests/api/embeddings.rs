//! `POST /v1/embeddings`.

use serde_json::json;

use crate::Running;

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
