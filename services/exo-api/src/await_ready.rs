//! `GET /instance/await`: an event when a model takes requests.

use crate::app::App;
use exo_http::{Event, Reply, Request};
use exo_types::{Instance, ModelId};
use exo_wire::ApiError;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait that may be asked for; EXO's own limit.
const LONGEST: u64 = 300;

/// One event: `{"type":"ready","instance":…}` or `{"type":"timeout"}`. Unlike EXO's, ready means that every runner is.
pub(crate) fn reply(app: &App, request: &Request) -> Result<Reply, ApiError> {
    let model = request.query("model_id").unwrap_or_default();
    let model = ModelId::new(model).map_err(|error| ApiError::field("model_id", "invalid_value", error.to_string()))?;
    let wait = patience(request.query("timeout_seconds"))?;
    let mut view = app.node.view();
    let deadline = request.deadline.min(Instant::now() + wait);
    let event = async move {
        let is_ready = view.wait_for(|view| view.state.ready_instances(&model).next().is_some());
        let found = match timeout_at(deadline, is_ready).await {
            Ok(Ok(view)) => view.state.ready_instances(&model).next().cloned(),
            _ => None,
        };
        Event::Data(body(found.as_ref()))
    };
    Ok(Reply::events(futures::stream::once(event)))
}

fn body(found: Option<&Instance>) -> String {
    match found {
        Some(instance) => serde_json::json!({ "type": "ready", "instance": instance }).to_string(),
        None => r#"{"type":"timeout"}"#.to_owned(),
    }
}

/// EXO's 0 means "for ever"; here the request's deadline still holds.
fn patience(text: Option<&str>) -> Result<Duration, ApiError> {
    match text.map(str::parse::<u64>) {
        None => Ok(Duration::from_secs(LONGEST)),
        Some(Ok(0)) => Ok(Duration::from_secs(86_400)),
        Some(Ok(seconds)) if seconds <= LONGEST => Ok(Duration::from_secs(seconds)),
        _ => {
            let message = format!("`timeout_seconds` must be a whole number from 0 to {LONGEST}");
            Err(ApiError::field("timeout_seconds", "invalid_value", message))
        }
    }
}
