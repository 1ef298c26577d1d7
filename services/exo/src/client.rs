//! Asks an api.

use crate::error::CliError;
use crate::events::{EventReader, Line};
use exo_config::Api;
use exo_http::{Answer, AskError, Method, Trust};
use exo_state::State;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;

/// Everything but the answers of models comes at once.
const PATIENCE: Duration = Duration::from_secs(15);
/// A stream says at least "keep-alive" every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// An api, and the key for it.
pub(crate) struct Client {
    http: exo_http::Client,
    key: Option<String>,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) tokens: u64,
    pub(crate) tokens_per_second: f64,
}

impl Client {
    pub(crate) fn new(url: impl Into<String>, key: Option<String>) -> Self {
        Self { http: exo_http::Client::new(url, Trust::Authorities), key }
    }

    /// Of this machine's own api. Its certificate is for the name that others know it by, and is known by itself here.
    pub(crate) fn own(api: &Api, key: Option<String>) -> Self {
        let address = if api.bind.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { api.bind };
        let url = format!("{}://{}", api.scheme(), SocketAddr::new(address, api.port));
        let trust = api.tls.certificate.clone().map_or(Trust::Authorities, Trust::Certificate);
        Self { http: exo_http::Client::new(url, trust), key }
    }

    pub(crate) fn url(&self) -> &str {
        self.http.url()
    }

    pub(crate) async fn state(&self) -> Result<State, CliError> {
        self.get("/state").await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.ask(Method::DELETE, path, None).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> Result<T, CliError> {
        let response = self.send(method, path, body).await?;
        let text = timeout(PATIENCE, response.text()).await.map_err(|_| self.unreachable("it stopped answering"))?;
        let text = text.map_err(|error| self.unreachable(&error))?;
        serde_json::from_str(&text).map_err(|error| self.not_an_api(&error))
    }

    /// Sends, and turns a refusal into an error.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, CliError> {
        let asking = self.http.ask(method, path, self.key.as_deref(), body.map(Value::to_string));
        let answer = timeout(PATIENCE, asking).await.map_err(|_| self.unreachable("it does not answer"))?;
        let answer = answer.map_err(|error| self.unreachable(cause(&error)))?;
        let status = answer.status;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let text = timeout(PATIENCE, answer.text()).await.ok().and_then(Result::ok).unwrap_or_default();
        match refusal(&text) {
            Some(refused) => Err(refused),
            None => Err(self.not_an_api(&status)),
        }
    }

    /// Asks a model; every piece of the answer is told as it comes.
    pub(crate) async fn chat(&self, body: &Value, mut tell: impl FnMut(&str)) -> Result<(String, Cost), CliError> {
        let mut response = self.send(Method::POST, "/v1/chat/completions", Some(body)).await?;
        let (mut reader, mut answer, mut cost) = (EventReader::default(), String::new(), Cost::default());
        loop {
            let chunk = timeout(SILENCE, response.chunk()).await.map_err(|_| broken("nothing came for 30 s"))?;
            let Some(bytes) = chunk.map_err(|error| broken(cause(&error)))? else { return Err(broken("too early")) };
            for line in reader.push(&bytes).map_err(broken)? {
                match line {
                    Line::Comment(text) => cost = stats(&text).unwrap_or(cost),
                    Line::Data(text) if text == "[DONE]" => return Ok((answer, cost)),
                    Line::Data(text) => {
                        let piece = piece(&text)?;
                        tell(&piece);
                        answer.push_str(&piece);
                    }
                }
            }
        }
    }

    /// Reads events of the log from there on, until `tell` has enough.
    pub(crate) async fn events(
        &self,
        since: &str,
        mut tell: impl FnMut(&Value) -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        let mut response = self.send(Method::GET, &format!("/events?since={since}"), None).await?;
        let mut reader = EventReader::default();
        loop {
            let chunk = timeout(SILENCE, response.chunk()).await.map_err(|_| broken("nothing came for 30 s"))?;
            let Some(bytes) = chunk.map_err(|error| broken(cause(&error)))? else { return Err(broken("too early")) };
            for line in reader.push(&bytes).map_err(broken)? {
                let Line::Data(text) = line else { continue };
                if let Some(error) = refusal(&text) {
                    return Err(error);
                }
                if !tell(&serde_json::from_str(&text).map_err(broken)?)? {
                    return Ok(());
                }
            }
        }
    }

    fn unreachable(&self, reason: impl ToString) -> CliError {
        CliError::Unreachable { url: self.url().to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn not_an_api(&self, reason: &dyn std::fmt::Display) -> CliError {
        CliError::NotAnApi { url: self.url().to_owned(), reason: reason.to_string() }
    }
}

fn broken(reason: impl ToString) -> CliError {
    CliError::Broken(reason.to_string())
}

/// The innermost words: those around them only say that something failed.
fn cause(error: &AskError) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// OpenAI's envelope.
fn refusal(text: &str) -> Option<CliError> {
    let value: Value = serde_json::from_str(text).ok()?;
    let error = value.get("error")?;
    let message = error.get("message")?.as_str()?.to_owned();
    let code = error.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(CliError::Refused { code, message })
}

/// The text of one chunk.
fn piece(data: &str) -> Result<String, CliError> {
    if let Some(error) = refusal(data) {
        return Err(error);
    }
    let value: Value = serde_json::from_str(data).map_err(broken)?;
    let text = value.pointer("/choices/0/delta/content").and_then(Value::as_str);
    Ok(text.unwrap_or_default().to_owned())
}

/// The comment at the end of a stream.
fn stats(comment: &str) -> Option<Cost> {
    let value: Value = serde_json::from_str(comment.strip_prefix("generation_stats ")?).ok()?;
    Some(Cost {
        tokens: value.get("generation_tokens")?.as_u64()?,
        tokens_per_second: value.get("generation_tps")?.as_f64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_refusals_and_costs_are_read() {
        let data = r#"{"choices":[{"delta":{"content":"hi"}}]}"#;
        assert_eq!(piece(data).expect("a chunk"), "hi");
        assert_eq!(piece(r#"{"choices":[]}"#).expect("the usage"), "");
        let error = piece(r#"{"error":{"message":"gone","code":"runner_lost"}}"#).expect_err("an error event");
        assert!(matches!(error, CliError::Refused { code, .. } if code == "runner_lost"));
        let comment = r#"generation_stats {"generation_tokens":7,"generation_tps":3.5}"#;
        assert_eq!(stats(comment), Some(Cost { tokens: 7, tokens_per_second: 3.5 }));
        assert_eq!(stats("keep-alive"), None);
    }
}
