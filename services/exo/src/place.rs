//! `exo place`, `exo rm`.

use crate::client::Client;
use crate::error::CliError;
use crate::output::say;
use crate::overview::{describe, short};
use exo_state::State;
use exo_types::{Instance, InstanceId, RunnerStatus, TaskStatus};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the State is looked at while a model loads.
const GLANCE: Duration = Duration::from_millis(100);
/// Large models on slow disks take minutes.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Places a model; with `wait`, until it answers.
pub(crate) async fn place(
    client: &Client,
    model: &str,
    min_nodes: u32,
    sharding: &str,
    wait: bool,
) -> Result<(), CliError> {
    let body = json!({ "model_id": model, "min_nodes": min_nodes, "sharding": sharding });
    let accepted = client.post("/place_instance", &body).await?;
    let instance = accepted.get("instance_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if wait {
        wait_ready(client, model, &instance).await?;
        say(format_args!("{model} is ready; ask it with `exo chat {model}`"))?;
    } else {
        say(format_args!("{model} is placed as {} and loads; `exo status` shows how far it is", short(&instance)))?;
    }
    Ok(())
}

/// Shows how many layers are loaded until all runners are ready.
pub(crate) async fn wait_ready(client: &Client, model: &str, instance: &str) -> Result<(), CliError> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} layers") {
        bar.set_style(style);
    }
    bar.set_message(format!("loading {model}"));
    let deadline = Instant::now() + PATIENCE;
    let failed = |reason: String| CliError::NotLoaded { model: model.to_owned(), reason };
    let id = InstanceId::new(instance).map_err(|error| failed(error.to_string()))?;
    let mut was_there = false;
    let result = loop {
        let state = client.state().await?;
        match (state.instances.get(&id), was_there) {
            (Some(found), _) => {
                was_there = true;
                let (loaded, total) = layers(&state, found);
                bar.set_length(total);
                bar.set_position(loaded);
                if state.is_ready(found) {
                    break Ok(());
                }
                if let Some(reason) = failure(&state, found) {
                    break Err(failed(reason));
                }
            }
            (None, true) => break Err(failed("it was taken away again".to_owned())),
            // This api has not seen the event yet.
            (None, false) => {}
        }
        if Instant::now() >= deadline {
            break Err(CliError::TooLong { what: format!("loading {model}"), seconds: PATIENCE.as_secs() });
        }
        sleep(GLANCE).await;
    };
    bar.finish_and_clear();
    result
}

/// Layers in memory, and all layers.
fn layers(state: &State, instance: &Instance) -> (u64, u64) {
    let of_rank = |shard: &exo_types::Shard, status: Option<&RunnerStatus>| match status {
        Some(RunnerStatus::RunnerLoading { layers_loaded, .. }) => *layers_loaded,
        Some(
            RunnerStatus::RunnerLoaded { .. }
            | RunnerStatus::RunnerConnecting { .. }
            | RunnerStatus::RunnerReady { .. },
        ) => shard.len(),
        _ => 0,
    };
    let ranks = instance.ranks();
    let loaded = ranks.iter().map(|(_, runner, shard)| u64::from(of_rank(shard, state.runners.get(*runner)))).sum();
    (loaded, ranks.iter().map(|(_, _, shard)| u64::from(shard.len())).sum())
}

/// Why it will never be ready.
fn failure(state: &State, instance: &Instance) -> Option<String> {
    let task = state.tasks.values().find(|task| task.instance_id == instance.instance_id);
    if let Some(task) = task.filter(|task| task.task_status == TaskStatus::Failed) {
        return Some(task.error_message.clone().unwrap_or_else(|| "the task failed".to_owned()));
    }
    instance.ranks().iter().find_map(|(_, runner, _)| match state.runners.get(*runner) {
        Some(status @ RunnerStatus::RunnerFailed { failure }) if !failure.retry => Some(describe(Some(status))),
        _ => None,
    })
}

/// Takes a placed model away.
pub(crate) async fn remove(client: &Client, name: &str) -> Result<(), CliError> {
    let state = client.state().await?;
    let ids = matching(&state, name);
    if ids.is_empty() {
        return Err(CliError::NoInstance(name.to_owned()));
    }
    for id in ids {
        client.delete(&format!("/instance/{id}")).await?;
        say(format_args!("{} is taken away", short(id.as_str())))?;
    }
    Ok(())
}

/// By its id, by the end of its id as `exo status` shows it, or all of a model.
fn matching(state: &State, name: &str) -> Vec<InstanceId> {
    let fits = |instance: &&Instance| {
        let id = instance.instance_id.as_str();
        id == name || short(id) == name || instance.model_card().model_id.as_str() == name
    };
    state.instances.values().filter(fits).map(|instance| instance.instance_id.clone()).collect()
}
