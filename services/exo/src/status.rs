//! `exo status`, `exo models`.

use crate::client::Client;
use crate::error::CliError;
use crate::machine;
use crate::output::{say, write};
use crate::overview::{ClusterReport, overview};
use crate::table::render;
use exo_state::State;
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const NO_MODEL: &str = "No node has a model. Put GGUF files into a directory of `models.dirs`, or start a node with \
                        `exo up --models DIR`.";
/// Cursor to the corner, and nothing after it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What runs where, once or again and again.
pub(crate) async fn show(client: &Client, json: bool, watch: Option<Duration>) -> Result<(), CliError> {
    let Some(period) = watch else { return write(page(client, json).await?) };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        ticks.tick().await;
        // Who watches wants to see the api come back.
        let page = page(client, json).await.unwrap_or_else(|error| format!("error: {error}\n"));
        write(format_args!("{clear}{page}"))?;
    }
}

async fn page(client: &Client, json: bool) -> Result<String, CliError> {
    let machine = async { Ok(machine::report().await) };
    let cluster = client.get::<Value>("/cluster");
    let (cluster, state, machine) = tokio::try_join!(cluster, client.get::<Value>("/state"), machine)?;
    if json {
        let mut whole = state;
        whole["cluster"] = cluster;
        whole["machine"] = serde_json::to_value(&machine).unwrap_or_default();
        return Ok(format!("{whole:#}\n"));
    }
    let cluster: ClusterReport = serde_json::from_value(cluster).map_err(|error| client.not_an_api(&error))?;
    let state: State = serde_json::from_value(state).map_err(|error| client.not_an_api(&error))?;
    Ok(format!("{}\n{}{}", cluster.render(&state), overview(&state), machine.render()))
}

/// Which models there are.
pub(crate) async fn models(client: &Client, json: bool) -> Result<(), CliError> {
    let list: Value = client.get("/v1/models").await?;
    if json {
        return say(format_args!("{list:#}"));
    }
    let text = |model: &Value, key: &str| match model.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let row = |model: &Value| {
        let size = format!("{} MiB", text(model, "storage_size_megabytes"));
        let ready = if model.get("ready").and_then(Value::as_bool) == Some(true) { "ready" } else { "not placed" };
        vec![text(model, "id"), size, text(model, "quantization"), text(model, "context_length"), ready.to_owned()]
    };
    let models = list.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if models.is_empty() {
        return say(NO_MODEL);
    }
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    write(render(&["MODEL", "SIZE", "WEIGHTS", "CONTEXT", "STATE"], &rows))
}
