//! The log of a running cluster, through an api.

use crate::client::Client;
use crate::error::CliError;
use crate::output::say;
use crate::overview::ClusterReport;
use exo_types::{EventIndex, SessionId};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// From the first event that is kept.
const OLDEST: &str = "oldest";
/// Between two tries to take up a stream that broke.
const PAUSE: Duration = Duration::from_secs(1);
/// An api that does not come back by then is gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to show.
pub(super) struct Tail {
    pub(super) lines: u64,
    pub(super) since: Option<u64>,
    pub(super) follow: bool,
    pub(super) json: bool,
}

/// The end of the log, and what follows.
pub(super) async fn tail(client: &Client, tail: Tail) -> Result<(), CliError> {
    let (session, last) = end_of(client).await?;
    let begin = tail.since.unwrap_or_else(|| (last.0 + 1).saturating_sub(tail.lines).max(1));
    let until = if tail.follow { None } else { Some(last) };
    let print = |event: &Value| say(if tail.json { event.to_string() } else { line(event) });
    let mut reading = Reading { client, session, next: begin, until, broken_since: None };
    match reading.run(&print).await {
        // Fewer are kept than were asked for.
        Err(CliError::Refused { code, .. }) if code == "events_purged" && tail.since.is_none() => {
            reading.from(OLDEST, &print).await?;
            reading.run(&print).await
        }
        result => result,
    }
}

/// All that is kept.
pub(super) async fn export(client: &Client) -> Result<(), CliError> {
    let (session, last) = end_of(client).await?;
    let mut reading = Reading { client, session, next: 1, until: Some(last), broken_since: None };
    reading.from(OLDEST, &|event| say(event)).await
}

/// The State, in a file that `exo log restore` reads.
pub(super) async fn backup(client: &Client, file: &Path) -> Result<(), CliError> {
    let (session, _) = end_of(client).await?;
    let state = client.state().await?;
    if state.session.as_ref() != Some(&session) {
        return Err(CliError::Broken("the session changed while it was read; try again".to_owned()));
    }
    let summary = exo_log::write_backup(file, &session, &state)?;
    say(format_args!("{}: session {}, up to event {}", file.display(), session, summary.last_event))
}

async fn end_of(client: &Client) -> Result<(SessionId, EventIndex), CliError> {
    let report: ClusterReport = client.get("/cluster").await?;
    match report.session {
        Some(session) => Ok((session, report.applied)),
        None => Err(CliError::NotJoined),
    }
}

/// A place in the log.
struct Reading<'a> {
    client: &'a Client,
    session: SessionId,
    next: u64,
    /// The last event wanted; none to go on for ever.
    until: Option<EventIndex>,
    broken_since: Option<Instant>,
}

impl Reading<'_> {
    /// Reads to the end that is wanted. Whoever follows is not stopped by a stream that breaks.
    async fn run(&mut self, print: &impl Fn(&Value) -> Result<(), CliError>) -> Result<(), CliError> {
        while self.until.is_none_or(|until| self.next <= until.0) {
            let since = format!("{}@{}", self.next, self.session);
            let begun = self.next;
            match self.from(&since, print).await {
                Err(error) if self.until.is_none() && passes(&error) => {
                    let broken_since = *self.broken_since.get_or_insert_with(Instant::now);
                    if self.next > begun {
                        self.broken_since = None;
                    } else if broken_since.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    sleep(PAUSE).await;
                }
                result => return result,
            }
        }
        Ok(())
    }

    async fn from(&mut self, since: &str, print: &impl Fn(&Value) -> Result<(), CliError>) -> Result<(), CliError> {
        let (until, next) = (self.until, &mut self.next);
        let tell = |event: &Value| {
            let index = event.get("idx").and_then(Value::as_u64).unwrap_or_default();
            if until.is_some_and(|until| index > until.0) {
                return Ok(false);
            }
            print(event)?;
            *next = index + 1;
            Ok(until.is_none_or(|until| index < until.0))
        };
        self.client.events(since, tell).await
    }
}

/// Whether it goes by while an api starts anew, or a leader is chosen.
fn passes(error: &CliError) -> bool {
    match error {
        CliError::Broken(_) | CliError::Unreachable { .. } => true,
        CliError::Refused { code, .. } => {
            ["not_joined", "not_ready", "no_master", "shutting_down", "log_unavailable"].contains(&code.as_str())
        }
        _ => false,
    }
}

/// An event for people: its index, who told it, its name, its fields.
pub(super) fn line(event: &Value) -> String {
    let index = event.get("idx").and_then(Value::as_u64).unwrap_or_default();
    let (name, fields) = match event.get("event") {
        Some(Value::String(name)) => (name.as_str(), String::new()),
        Some(Value::Object(map)) => match map.iter().next() {
            Some((name, fields)) => (name.as_str(), fields.to_string()),
            None => ("", String::new()),
        },
        _ => ("", String::new()),
    };
    format!("{index:>8}  {name}  {fields}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    /// What an api answers to the next that asks.
    async fn answer(listener: &TcpListener, status: &str, body: &str) {
        let (mut stream, _) = listener.accept().await.expect("somebody asks");
        let _ = stream.read(&mut [0; 4096]).await.expect("it asks");
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it listens");
    }

    #[tokio::test]
    async fn who_follows_waits_for_an_api_that_has_not_found_the_cluster_yet() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let refused = |code: &str| json!({"error": {"message": "no", "code": code}}).to_string();
        let api_that_starts = async {
            answer(&listener, "503 Service Unavailable", &refused("not_joined")).await;
            answer(&listener, "200 OK", "data: {\"idx\": 4, \"event\": \"Plain\"}\n\n").await;
            answer(&listener, "410 Gone", &refused("events_purged")).await;
            std::future::pending::<()>().await;
        };
        let client = Client::new(url, None);
        let session = SessionId { generation: 1, master_node_id: "m".parse().expect("a good id") };
        let mut reading = Reading { client: &client, session, next: 4, until: None, broken_since: None };
        let seen = std::cell::RefCell::new(Vec::new());
        let print = |event: &Value| {
            seen.borrow_mut().push(event["idx"].clone());
            Ok(())
        };
        let ended = tokio::select! {
            ended = timeout(PATIENCE, reading.run(&print)) => ended.expect("in time"),
            () = api_that_starts => unreachable!("it goes on for ever"),
        };
        assert!(matches!(&ended, Err(CliError::Refused { code, .. }) if code == "events_purged"), "{ended:?}");
        assert_eq!((seen.into_inner(), reading.next), (vec![json!(4)], 5));
    }

    #[test]
    fn only_what_goes_by_is_waited_for() {
        let refused = |code: &str| CliError::Refused { code: code.to_owned(), message: String::new() };
        for passing in [refused("not_joined"), refused("shutting_down"), CliError::Broken(String::new())] {
            assert!(passes(&passing), "{passing:?}");
        }
        for lasting in [refused("events_purged"), refused("session_changed"), CliError::NotJoined] {
            assert!(!passes(&lasting), "{lasting:?}");
        }
    }

    #[test]
    fn events_are_shown_on_one_line_each() {
        for (event, expect) in [
            (
                json!({"idx": 7, "event": {"NodeTimedOut": {"nodeId": "a"}}}),
                "       7  NodeTimedOut  {\"nodeId\":\"a\"}",
            ),
            (json!({"idx": 8, "event": "Plain"}), "       8  Plain"),
            (json!({}), "       0"),
        ] {
            assert_eq!(line(&event), expect);
        }
    }
}
