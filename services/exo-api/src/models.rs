//! `GET /v1/models`, `GET /v1/models/{id}`.

use crate::app::App;
use exo_http::{Reply, Request, Route};
use exo_state::State;
use exo_types::{ModelCard, RunnerStatus};
use exo_wire::{ApiError, ModelEntry, ModelList};
use serde::Serialize;
use std::sync::Arc;

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let list_at = |path| {
        let app = app.clone();
        Route::get(path, move |_request| {
            let list = list(&app);
            async move { Ok(json(&list)) }
        })
    };
    let one_at = |path| {
        let app = app.clone();
        Route::get(path, move |request: Request| {
            let found = one(&app, request.param("id"));
            async move { found }
        })
    };
    vec![list_at("/v1/models"), list_at("/models"), one_at("/v1/models/{*id}"), one_at("/models/{*id}")]
}

fn list(app: &App) -> ModelList {
    let state = app.view().state;
    ModelList::new(state.model_cards().into_values().map(|card| entry(app, &state, card)).collect())
}

fn one(app: &App, id: &str) -> Result<Reply, ApiError> {
    let state = app.view().state;
    let card = state.model_cards().into_values().find(|card| card.model_id.as_str() == id).cloned();
    match card {
        Some(card) => Ok(json(&entry(app, &state, &card))),
        None => {
            let message = "no node has that model; GET /v1/models lists those that there are";
            Err(ApiError { param: Some("model".to_owned()), ..ApiError::new(404, "model_not_found", message) })
        }
    }
}

fn entry(app: &App, state: &State, card: &ModelCard) -> ModelEntry {
    ModelEntry::new(card, app.created, state.ready_instances(&card.model_id).next().is_some())
}

/// A body that this crate made, as JSON.
pub(crate) fn json(body: &impl Serialize) -> Reply {
    Reply::json(serde_json::to_string(body).expect("bodies are texts, numbers and lists of them"))
}

/// What a runner is at, in a few words.
pub(crate) fn describe(status: &RunnerStatus) -> String {
    match status {
        RunnerStatus::RunnerIdle => "is starting".to_owned(),
        RunnerStatus::RunnerLoading { layers_loaded, total_layers } => {
            format!("has loaded {layers_loaded} of {total_layers} layers")
        }
        RunnerStatus::RunnerLoaded { .. } => "is loaded".to_owned(),
        RunnerStatus::RunnerConnecting { .. } => "is connecting".to_owned(),
        RunnerStatus::RunnerReady { .. } => "is ready".to_owned(),
        RunnerStatus::RunnerShuttingDown | RunnerStatus::RunnerShutdown => "is ending".to_owned(),
        RunnerStatus::RunnerFailed { failure } => format!("failed ({})", failure.error_message),
    }
}
