//! A client of the API, as plain as users' own.

use crate::node::DEADLINE;
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// What one line of a stream said.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    Text(String),
    Finish(String),
    Error(String),
    Done,
}

/// An answer as it comes.
pub struct Answer {
    body: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    pending: String,
}

impl Client {
    pub fn new(port: u16) -> Self {
        let http = reqwest::Client::builder().timeout(DEADLINE).build().expect("a client");
        Self { base: format!("http://127.0.0.1:{port}"), http }
    }

    pub async fn get(&self, path: &str) -> reqwest::Result<(u16, Value)> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or(Value::Null)))
    }

    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
        let response = self.http.post(format!("{}{path}", self.base)).json(body).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or(Value::Null)))
    }

    pub async fn delete(&self, path: &str) {
        let response = self.http.delete(format!("{}{path}", self.base)).send().await.expect("the api answers");
        assert_eq!(response.status().as_u16(), 200, "{path}");
    }

    /// Asks again and again until `check` likes the answer.
    pub async fn wait_for(&self, path: &str, what: &str, check: impl Fn(u16, &Value) -> bool) -> Value {
        let begin = Instant::now();
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        let mut last = String::new();
        while begin.elapsed() < DEADLINE {
            pause.tick().await;
            match self.get(path).await {
                Ok((status, value)) if check(status, &value) => return value,
                Ok((status, value)) => last = format!("{status} {value}"),
                Err(error) => last = error.to_string(),
            }
        }
        panic!("waited {DEADLINE:?} for {what}; the last answer of {path} was {last}")
    }

    pub async fn wait_until_ready(&self) {
        self.wait_for("/readyz", "the api to be ready", |status, _| status == 200).await;
    }

    /// Waits until so many nodes have the model's file.
    pub async fn wait_for_model(&self, model: &str, nodes: usize) {
        self.wait_for("/state", "the nodes to tell of their models", |_, state| {
            let downloads = state["downloads"].as_object();
            let having = downloads.into_iter().flatten().filter(|(_, list)| list.to_string().contains(model));
            having.count() >= nodes
        })
        .await;
    }

    pub async fn place(&self, model: &str, min_nodes: u32) {
        self.place_cut(model, min_nodes, "Pipeline").await;
    }

    /// Places a model that is cut in that way.
    pub async fn place_cut(&self, model: &str, min_nodes: u32, sharding: &str) {
        self.wait_for_model(model, min_nodes as usize).await;
        let body = json!({"model_id": model, "min_nodes": min_nodes, "sharding": sharding});
        let (status, answer) = self.post("/place_instance", &body).await.expect("the api answers");
        assert_eq!(status, 200, "{answer}");
        self.wait_until_placed(model).await;
    }

    pub async fn wait_until_placed(&self, model: &str) {
        let path = format!("/instance/await?model_id={model}&timeout_seconds=30");
        let url = format!("{}{path}", self.base);
        let text = self.http.get(url).send().await.expect("the api answers").text().await.expect("a body");
        assert!(text.contains("ready"), "{model} is not ready: {text}");
    }

    /// A whole answer at temperature 0.
    pub async fn ask(&self, model: &str, question: &str, max_tokens: u32) -> Result<String, (u16, Value)> {
        let body = json!({
            "model": model, "temperature": 0, "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": question}],
        });
        let (status, answer) = self.post("/v1/chat/completions", &body).await.expect("the api answers");
        match answer["choices"][0]["message"]["content"].as_str() {
            Some(text) if status == 200 => Ok(text.to_owned()),
            _ => Err((status, answer)),
        }
    }

    pub async fn stream(&self, model: &str, max_tokens: u32) -> Answer {
        let body = json!({
            "model": model, "temperature": 0, "max_tokens": max_tokens, "stream": true,
            "messages": [{"role": "user", "content": "Tell me a long story."}],
        });
        let url = format!("{}/v1/chat/completions", self.base);
        let response = self.http.post(url).json(&body).send().await.expect("the api answers");
        let status = response.status().as_u16();
        if status != 200 {
            panic!("{status} {}", response.text().await.unwrap_or_default());
        }
        Answer { body: Box::pin(response.bytes_stream()), pending: String::new() }
    }
}

impl Answer {
    /// The next line that says something.
    pub async fn next(&mut self) -> Line {
        loop {
            if let Some(end) = self.pending.find("\n\n") {
                let block: String = self.pending.drain(..end + 2).collect();
                match parse(block.trim()) {
                    Some(line) => return line,
                    None => continue,
                }
            }
            let bytes = tokio::time::timeout(DEADLINE, self.body.next()).await.expect("the stream goes on");
            let bytes = bytes.expect("the stream ends with DONE").expect("the connection holds");
            self.pending.push_str(std::str::from_utf8(&bytes).expect("blocks are whole characters"));
        }
    }

    /// All its text, and how it ended.
    pub async fn transcript(&mut self) -> (String, Vec<Line>) {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for line in self.rest().await {
            match line {
                Line::Text(piece) => text += &piece,
                end => ends.push(end),
            }
        }
        (text, ends)
    }

    /// Everything up to `DONE`.
    pub async fn rest(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            match self.next().await {
                Line::Done => return lines,
                line => lines.push(line),
            }
        }
    }
}

fn parse(block: &str) -> Option<Line> {
    let data = block.strip_prefix("data: ")?;
    if data == "[DONE]" {
        return Some(Line::Done);
    }
    let value: Value = serde_json::from_str(data).expect("data is JSON");
    if let Some(error) = value.get("error") {
        return Some(Line::Error(error["code"].as_str().unwrap_or_default().to_owned()));
    }
    let choice = value["choices"].get(0)?;
    if let Some(reason) = choice["finish_reason"].as_str() {
        return Some(Line::Finish(reason.to_owned()));
    }
    Some(Line::Text(choice["delta"]["content"].as_str()?.to_owned()))
}
