//! Which instance answers, and why none does.

use crate::app::App;
use exo_ambient::{Bug, planted};
use exo_node::View;
use exo_types::{Instance, InstanceId, ModelId, NodeId, RunnerStatus};
use exo_wire::{ApiError, TextRequest};

/// Refuses text of a model that makes none.
pub(super) fn check_task(view: &View, text: &TextRequest) -> Result<(), ApiError> {
    let cards = view.state.model_cards();
    let placed = view.state.instances_of(&text.model).map(|instance| instance.model_card()).next();
    let is_encoder = placed.or_else(|| cards.get(&text.model).copied()).is_some_and(|card| !card.makes_text());
    if text.reply.embedding.is_some() || !is_encoder {
        return Ok(());
    }
    let message = format!(
        "model {} is an encoder: it makes vectors of texts and no text; ask it at POST /v1/embeddings, or name another model",
        text.model
    );
    Err(ApiError { param: Some("model".to_owned()), ..ApiError::new(400, "embeddings_only", message) })
}

/// Ready instances and their first nodes, those with the fewest open generations first.
pub(super) fn candidates(app: &App, model: &ModelId) -> Result<Vec<(InstanceId, NodeId)>, ApiError> {
    let view = app.view();
    let ready = view.state.instances_of(model).filter(|instance| is_candidate(&view, &instance.instance_id));
    let mut found: Vec<(usize, InstanceId, NodeId)> = ready
        .filter_map(|instance| {
            let (node, _) = instance.head()?;
            let id = instance.instance_id.clone();
            Some((app.streams.on(&id), id, node.clone()))
        })
        .collect();
    if found.is_empty() {
        return Err(unavailable(&view, model, app.config.api.port));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, instance, node)| (instance, node)).collect())
}

/// Whether requests go there. Asked again before each try: the one before may have taken long.
pub(super) fn is_candidate(view: &View, id: &InstanceId) -> bool {
    let instance = view.state.instances.get(id);
    instance.is_some_and(|instance| view.state.is_ready(instance) || planted(Bug::RouteToDeadRunner))
}

/// Why a model does not answer, and what to do.
fn unavailable(view: &View, model: &ModelId, port: u16) -> ApiError {
    let state = &view.state;
    if !view.is_joined() {
        let message = "this node has not found the cluster yet; try again in a moment";
        return ApiError::new(503, "not_joined", message).retry_after(1);
    }
    if let Some(instance) = state.instances_of(model).next() {
        let message = format!("model {model} is placed and not ready yet: {}; try again", progress(view, instance));
        return ApiError::new(503, "model_loading", message).retry_after(1);
    }
    if state.open_intents().any(|intent| intent.place.model_id == *model) {
        let message = format!("model {model} waits for nodes to be placed on (`exo status` tells); try again");
        return ApiError::new(503, "model_loading", message).retry_after(1);
    }
    let mut error = if state.model_cards().contains_key(model) {
        let body = format!("'{{\"model_id\":\"{model}\"}}'");
        let curl = format!("curl http://127.0.0.1:{port}/place_instance -d {body}");
        let message = format!("model {model} is not placed on any node; place it with `exo place {model}` or `{curl}`");
        ApiError::new(404, "model_not_placed", message)
    } else {
        let known: Vec<String> = state.model_cards().keys().take(10).map(ToString::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!(
            "no node has a model {model} (known: {known}); put its GGUF file into a directory of `models.dirs` on a node"
        );
        ApiError::new(404, "model_not_found", message)
    };
    error.param = Some("model".to_owned());
    error
}

/// How far the runners of an instance are, for people.
fn progress(view: &View, instance: &Instance) -> String {
    let ranks = instance.ranks();
    let of_runner = |runner| match view.state.runners.get(runner) {
        None => "waiting".to_owned(),
        Some(status) => crate::models::describe(status),
    };
    ranks
        .iter()
        .map(|(_, runner, shard)| format!("rank {} {}", shard.device_rank, of_runner(runner)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether an instance of the model is there, or may be again without anyone's help.
pub(super) fn can_come_back(view: &View, model: &ModelId) -> bool {
    let is_given_up = |runner| match view.state.runners.get(runner) {
        Some(RunnerStatus::RunnerFailed { failure }) => !failure.retry,
        _ => false,
    };
    view.state.instances_of(model).any(|instance| !instance.ranks().iter().any(|(_, runner, _)| is_given_up(runner)))
}
