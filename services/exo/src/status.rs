//! `exo status`, `exo models`.

use crate::client::Client;
use crate::error::CliError;
use crate::output::{say, write};
use crate::table::{bold, render};
use exo_state::State;
use exo_types::{Instance, NodeId, RunnerId, RunnerStatus, Shard};
use serde_json::Value;

const NO_MODEL: &str = "No node has a model. Put GGUF files into a directory of `models.dirs`, or start a node with \
                        `exo up --models DIR`.";

/// What runs where.
pub(crate) async fn show(client: &Client, json: bool) -> Result<(), CliError> {
    if json {
        let state: Value = client.get("/state").await?;
        say(format_args!("{state:#}"))?;
    } else {
        write(overview(&client.state().await?))?;
    }
    Ok(())
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

/// Nodes, and what is placed on them.
pub(crate) fn overview(state: &State) -> String {
    let nodes: Vec<Vec<String>> = state.topology.nodes.iter().map(|node| node_row(state, node)).collect();
    let mut text = format!("{}\n", bold(&format!("Nodes: {}", nodes.len())));
    text.push_str(&render(&["NAME", "NODE", "ADDRESS", "CORES", "MEMORY FREE", "EXO"], &nodes));
    let instances: Vec<Vec<String>> =
        state.instances.values().flat_map(|instance| instance_rows(state, instance)).collect();
    text.push_str(&format!("\n{}\n", bold(&format!("Placed models: {}", state.instances.len()))));
    if instances.is_empty() {
        text.push_str("none; place one with `exo place MODEL`\n");
    } else {
        text.push_str(&render(&["MODEL", "INSTANCE", "RANK", "NODE", "LAYERS", "RUNNER"], &instances));
    }
    text
}

fn node_row(state: &State, node: &NodeId) -> Vec<String> {
    let info = state.node_identities.get(node);
    let memory = state.node_memory.get(node);
    vec![
        name_of(state, node),
        short(node.as_str()).to_owned(),
        info.and_then(|info| info.addresses.first().cloned()).unwrap_or_default(),
        info.map(|info| info.cpu.physical_cores.to_string()).unwrap_or_default(),
        memory.map(|memory| format!("{} of {}", memory.ram_available, memory.ram_total)).unwrap_or_default(),
        info.map(|info| info.version.clone()).unwrap_or_default(),
    ]
}

fn instance_rows(state: &State, instance: &Instance) -> Vec<Vec<String>> {
    let row = |(node, runner, shard): (&NodeId, &RunnerId, &Shard)| {
        vec![
            instance.model_card().model_id.to_string(),
            short(instance.instance_id.as_str()).to_owned(),
            shard.device_rank.to_string(),
            name_of(state, node),
            format!("{}-{} of {}", shard.start_layer, shard.end_layer.saturating_sub(1), shard.n_layers),
            describe(state.runners.get(runner)),
        ]
    };
    instance.ranks().into_iter().map(row).collect()
}

fn name_of(state: &State, node: &NodeId) -> String {
    match state.node_identities.get(node) {
        Some(info) => info.friendly_name.clone(),
        None => short(node.as_str()).to_owned(),
    }
}

/// The last twelve characters: ids begin with the time, so that those of one day begin alike.
pub(crate) fn short(id: &str) -> &str {
    id.char_indices().rev().nth(11).map_or(id, |(start, _)| &id[start..])
}

/// What a runner is at.
pub(crate) fn describe(status: Option<&RunnerStatus>) -> String {
    match status {
        None => "waiting".to_owned(),
        Some(RunnerStatus::RunnerIdle) => "starting".to_owned(),
        Some(RunnerStatus::RunnerLoading { layers_loaded, total_layers }) => {
            format!("loading {layers_loaded}/{total_layers}")
        }
        Some(RunnerStatus::RunnerLoaded { .. }) => "loaded".to_owned(),
        Some(RunnerStatus::RunnerConnecting { .. }) => "connecting".to_owned(),
        Some(RunnerStatus::RunnerReady { .. }) => "ready".to_owned(),
        Some(RunnerStatus::RunnerShuttingDown | RunnerStatus::RunnerShutdown) => "ending".to_owned(),
        Some(RunnerStatus::RunnerFailed { failure }) => format!("failed: {}", failure.error_message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, EventIndex, IndexedEvent};

    #[test]
    fn the_overview_names_nodes_and_says_how_to_place_a_model() {
        let mut state = State::default();
        let event = serde_json::json!({ "NodeGatheredInfo": { "nodeId": "0193c0de-node-of-atlas",
            "info": { "friendlyName": "atlas", "version": "0.1.0", "addresses": ["10.0.0.7"] } } });
        let event: Event = serde_json::from_value(event).expect("an event");
        exo_state::apply(&mut state, &IndexedEvent { idx: EventIndex(1), origin: None, event });
        let text = overview(&state);
        assert!(text.contains("atlas  node-of-atlas") || text.contains("atlas  ode-of-atlas"), "{text}");
        assert!(text.contains("10.0.0.7") && text.contains("exo place MODEL"), "{text}");
    }

    #[test]
    fn short_ids_keep_their_end() {
        assert_eq!((short("abc"), short("0123456789abcdef")), ("abc", "456789abcdef"));
    }
}
