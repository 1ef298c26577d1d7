//! The API as its users see it, and what they may conclude from its answers.

use anyhow::{Context, Result};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Whatever is no generation is answered or given up by then: longer than the API's own deadline for a command.
const PATIENCE: Duration = Duration::from_secs(14);

/// The API of a node.
#[derive(Clone)]
pub struct Api {
    url: String,
    key: Option<String>,
    http: reqwest::Client,
}

/// What became of something that was to be changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is done, and must stay.
    Acked(Value),
    /// It was not done and will not be.
    Refused(String),
    /// It may have been done, or may still be.
    Unknown(String),
}

/// What became of a request for text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It ended as answers end.
    Whole,
    /// It ended with an error that has this code.
    Failed(String),
    /// The client left before the end, as it meant to.
    Left,
    /// There was nobody to ask.
    Unreachable,
    /// The connection ended before the answer did.
    Cut(String),
    /// It came otherwise than it may: what was wrong.
    Wrong(String),
    /// It had not ended by the deadline.
    Open,
}

/// What was said to a request for text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How it ended.
    pub answer: Answer,
    /// All that was said.
    pub text: String,
    /// The longest wait for a piece, but for the first.
    pub longest_pause: Duration,
}

/// A request for text.
#[derive(Debug, Clone)]
pub struct ChatAsk {
    /// Which model.
    pub model: String,
    /// Longest answer.
    pub max_tokens: u32,
    /// Leave after so many pieces.
    pub leave_after: Option<u32>,
    /// Longest wait for the end.
    pub within: Duration,
    /// Grows with every piece that comes.
    pub pieces: Arc<AtomicUsize>,
}

impl ChatAsk {
    /// Asks a model for at most so many tokens, and reads them all.
    pub fn new(model: &str, max_tokens: u32, within: Duration) -> Self {
        Self { model: model.to_owned(), max_tokens, leave_after: None, within, pieces: Arc::default() }
    }
}

/// Codes of refusals after which nothing happens, though the request was good.
const NOTHING_HAPPENED: [&str; 3] = ["no_master", "not_joined", "not_ready"];

impl Api {
    /// The API at that address. Every request has a connection of its own, so that a dead process spoils only its own.
    pub fn new(url: String, key: Option<String>) -> Result<Self> {
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().context("no HTTP client")?;
        Ok(Self { url, key, http })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Status and body of a GET, if there is an answer within `within`.
    pub async fn get_within(&self, path: &str, within: Duration) -> Option<(u16, String)> {
        let ask = async {
            let response = self.request(Method::GET, path).send().await.ok()?;
            let status = response.status().as_u16();
            Some((status, response.text().await.ok()?))
        };
        timeout(within, ask).await.ok()?
    }

    /// Body of a GET that succeeds.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let (status, text) = self.get_within(path, PATIENCE).await?;
        (status == 200).then(|| serde_json::from_str(&text).ok())?
    }

    /// Requests for text that it has not ended.
    pub async fn open_generations(&self) -> Option<u64> {
        self.metrics(&["exo_api_generations_open"]).await?.first().copied()
    }

    /// Numbers of `GET /metrics` that have no labels, all of the same moment.
    pub async fn metrics(&self, names: &[&str]) -> Option<Vec<u64>> {
        let (_, text) = self.get_within("/metrics", PATIENCE).await?;
        let value = |name: &&str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(found, _)| found == name).and_then(|(_, value)| value.trim().parse().ok())
        };
        names.iter().map(value).collect()
    }

    /// Places a model.
    pub async fn place(&self, model: &str, min_nodes: u32) -> Change {
        self.place_cut(model, min_nodes, "Pipeline").await
    }

    /// Places a model that is cut in that way.
    pub async fn place_cut(&self, model: &str, min_nodes: u32, sharding: &str) -> Change {
        let body = json!({ "model_id": model, "min_nodes": min_nodes, "sharding": sharding });
        self.change(self.request(Method::POST, "/place_instance").json(&body)).await
    }

    /// Takes an instance away.
    pub async fn delete(&self, instance: &str) -> Change {
        self.change(self.request(Method::DELETE, &format!("/instance/{instance}"))).await
    }

    /// Lets a node be used that was never drained: recorded like any command, and nothing else happens.
    pub async fn undrain(&self, node: &str) -> Change {
        self.change(self.request(Method::POST, &format!("/node/{node}/undrain"))).await
    }

    async fn change(&self, request: RequestBuilder) -> Change {
        let ask = async {
            let response = request.send().await.map_err(|error| (error.is_connect(), error.to_string()))?;
            let status = response.status().as_u16();
            let text = response.text().await.map_err(|error| (false, error.to_string()))?;
            Ok((status, text))
        };
        match timeout(PATIENCE, ask).await {
            Err(_) => Change::Unknown("no answer".to_owned()),
            Ok(Err((true, _))) => Change::Refused("unreachable".to_owned()),
            Ok(Err((false, error))) => Change::Unknown(error),
            Ok(Ok((status, text))) => conclude(status, &text),
        }
    }

    /// Asks for text as a stream, and reads it to its end.
    pub async fn chat(&self, ask: &ChatAsk) -> Answer {
        self.tell(ask, "Tell me a story.").await.answer
    }

    /// Asks a question, and keeps what is said.
    pub async fn tell(&self, ask: &ChatAsk, question: &str) -> Told {
        let mut told = Told { answer: Answer::Open, text: String::new(), longest_pause: Duration::ZERO };
        told.answer = timeout(ask.within, self.read(ask, question, &mut told)).await.unwrap_or(Answer::Open);
        told
    }

    async fn read(&self, ask: &ChatAsk, question: &str, told: &mut Told) -> Answer {
        let body = json!({
            "model": ask.model, "stream": true, "temperature": 0, "max_tokens": ask.max_tokens,
            "messages": [{ "role": "user", "content": question }],
        });
        let request = self.request(Method::POST, "/v1/chat/completions").json(&body);
        match request.send().await {
            Err(error) if error.is_connect() => Answer::Unreachable,
            Err(error) => Answer::Cut(error.to_string()),
            Ok(response) if response.status().as_u16() != 200 => refused(response).await,
            Ok(response) => read_stream(response, ask, told).await,
        }
    }
}

fn conclude(status: u16, text: &str) -> Change {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let code = body["error"]["code"].as_str().unwrap_or("without a code").to_owned();
    match status {
        200 => Change::Acked(body),
        400..=499 => Change::Refused(code),
        _ if NOTHING_HAPPENED.contains(&code.as_str()) => Change::Refused(code),
        _ => Change::Unknown(code),
    }
}

async fn refused(response: Response) -> Answer {
    let status = response.status();
    let text = match response.text().await {
        Ok(text) => text,
        Err(error) => return Answer::Cut(error.to_string()),
    };
    let code =
        serde_json::from_str::<Value>(&text).ok().and_then(|body| body["error"]["code"].as_str().map(str::to_owned));
    code.map_or_else(|| Answer::Wrong(format!("status {status} without a code: {text}")), Answer::Failed)
}

/// What a stream has said so far.
#[derive(Debug, Default)]
struct StreamReader {
    pending: String,
    pieces: u32,
    text: String,
    finished: bool,
    error: Option<String>,
}

impl StreamReader {
    /// Takes bytes in; an answer when it has come to its end, or was wrong.
    fn push(&mut self, text: &str) -> Option<Answer> {
        self.pending.push_str(text);
        while let Some(end) = self.pending.find("\n\n") {
            let block: String = self.pending.drain(..end + 2).collect();
            let Some(data) = block.trim().strip_prefix("data: ") else { continue };
            if data == "[DONE]" {
                return Some(self.end());
            }
            let Ok(value) = serde_json::from_str::<Value>(data) else {
                return Some(Answer::Wrong(format!("no JSON: {data}")));
            };
            if self.error.is_some() {
                return Some(Answer::Wrong(format!("after an error came {data}")));
            }
            self.take(&value);
        }
        None
    }

    fn take(&mut self, value: &Value) {
        if let Some(error) = value.get("error") {
            self.error = Some(error["code"].as_str().unwrap_or("without a code").to_owned());
            return;
        }
        let choice = &value["choices"][0];
        if let Some(piece) = choice["delta"]["content"].as_str() {
            self.pieces += 1;
            self.text += piece;
        }
        self.finished |= choice["finish_reason"].is_string();
    }

    fn end(&mut self) -> Answer {
        match (self.finished, self.error.take()) {
            (true, None) => Answer::Whole,
            (false, Some(code)) => Answer::Failed(code),
            (true, Some(code)) => Answer::Wrong(format!("answered, and failed with {code}")),
            (false, None) => Answer::Wrong("ended without an answer or an error".to_owned()),
        }
    }
}

async fn read_stream(mut response: Response, ask: &ChatAsk, told: &mut Told) -> Answer {
    let (mut reader, mut last) = (StreamReader::default(), None);
    loop {
        let text = match response.chunk().await {
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Ok(None) => return Answer::Cut("the stream ended without [DONE]".to_owned()),
            Err(error) => return Answer::Cut(error.to_string()),
        };
        let (pieces, ended) = (reader.pieces, reader.push(&text));
        told.text += &std::mem::take(&mut reader.text);
        if reader.pieces > pieces {
            ask.pieces.fetch_add(1, Ordering::Relaxed);
            let before = last.replace(Instant::now());
            told.longest_pause = before.map_or(told.longest_pause, |before| told.longest_pause.max(before.elapsed()));
        }
        if let Some(answer) = ended {
            return answer;
        }
        if ask.leave_after.is_some_and(|pieces| reader.pieces >= pieces) {
            return Answer::Left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n";
    const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const ERROR: &str = "data: {\"error\":{\"code\":\"runner_lost\"}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn a_stream_is_judged_by_how_it_ends() {
        let check = |blocks: &[&str], expect: Option<Answer>| {
            let mut reader = StreamReader::default();
            let whole = blocks.concat();
            let (first, second) = whole.split_at(whole.len() / 2);
            let answer = reader.push(first).or_else(|| reader.push(second));
            match (answer, expect) {
                (Some(Answer::Wrong(_)), Some(Answer::Wrong(_))) => {}
                (answer, expect) => assert_eq!(answer, expect, "{blocks:?}"),
            }
        };
        let wrong = || Some(Answer::Wrong(String::new()));
        check(&[PIECE, FINISH, DONE], Some(Answer::Whole));
        check(&[": keep-alive\n\n", PIECE, ERROR, DONE], Some(Answer::Failed("runner_lost".to_owned())));
        check(&[PIECE, FINISH], None);
        check(&[PIECE, DONE], wrong());
        check(&[PIECE, FINISH, ERROR, DONE], wrong());
        check(&[PIECE, ERROR, PIECE, DONE], wrong());
        check(&["data: nonsense\n\n"], wrong());
    }

    #[test]
    fn only_a_clear_no_is_taken_for_a_no() {
        let check = |status, code: &str, expect: Change| {
            assert_eq!(conclude(status, &format!("{{\"error\":{{\"code\":\"{code}\"}}}}")), expect, "{status} {code}");
        };
        check(404, "not_found", Change::Refused("not_found".to_owned()));
        check(503, "no_master", Change::Refused("no_master".to_owned()));
        check(504, "command_timeout", Change::Unknown("command_timeout".to_owned()));
        check(503, "log_unavailable", Change::Unknown("log_unavailable".to_owned()));
        check(500, "internal", Change::Unknown("internal".to_owned()));
        assert!(matches!(conclude(200, "{\"instance_id\":\"i\"}"), Change::Acked(body) if body["instance_id"] == "i"));
    }
}
