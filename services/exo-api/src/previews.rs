//! `GET /instance/previews`: what a placement would come to, without placing anything.

use crate::app::App;
use crate::models::json;
use exo_http::{Reply, Request};
use exo_placement::{Defaults, Problem, previews};
use exo_types::{Instance, InstanceId, ModelCard, ModelId, NodeId, PlaceInstance, Sharding};
use exo_wire::{ApiError, Preview, Previews};

/// One preview for each number of nodes, and one for each way of sharding that cannot be.
pub(crate) fn reply(app: &App, request: &Request) -> Result<Reply, ApiError> {
    let model_id = request.query("model_id").unwrap_or_default();
    let model_id = ModelId::new(model_id).map_err(|error| invalid("model_id", &error))?;
    let state = app.view().state;
    let Some(card) = state.model_cards().get(&model_id).map(|card| (*card).clone()) else {
        let message = format!("no node has a model {model_id}; GET /v1/models lists those that there are");
        return Err(ApiError { param: Some("model_id".to_owned()), ..ApiError::new(404, "model_not_found", message) });
    };
    let node_ids = nodes(request)?;
    let engine = &app.config.engine;
    let defaults = Defaults { context_length: engine.context_length, max_sequences: engine.max_sequences };
    let mut found = Vec::new();
    for sharding in [Sharding::Pipeline, Sharding::Tensor] {
        let place = PlaceInstance {
            model_id: model_id.clone(),
            sharding,
            min_nodes: 1,
            node_ids: node_ids.clone(),
            context_length: None,
        };
        found.extend(of_sharding(&card, sharding, &Problem::from_state(&state, &place, &card, defaults)));
    }
    Ok(json(&Previews { previews: found }))
}

/// All that fit; if none does, the one reason.
fn of_sharding(card: &ModelCard, sharding: Sharding, problem: &Problem) -> Vec<Preview> {
    let mut fitting = Vec::new();
    let mut reason = None;
    for preview in previews(problem) {
        match preview.outcome {
            Ok(solution) => {
                let memory = solution.ranks.iter().map(|rank| (rank.node_id.clone(), rank.memory)).collect();
                let instance: Instance = solution.into_instance(preview_id(preview.nodes), card.clone());
                fitting.push(Preview::fits(instance, memory));
            }
            Err(infeasible) => reason = Some(infeasible.to_string()),
        }
    }
    match (fitting.is_empty(), reason) {
        (true, Some(reason)) => vec![Preview::refused(card.model_id.clone(), sharding, reason)],
        _ => fitting,
    }
}

/// Nothing is created, so that the name only has to be one.
fn preview_id(nodes: u32) -> InstanceId {
    InstanceId::new(format!("preview-{nodes}")).expect("a word and digits are an id")
}

fn nodes(request: &Request) -> Result<Vec<NodeId>, ApiError> {
    let named = request.query.iter().filter(|(key, _)| key == "node_ids");
    named.map(|(_, id)| NodeId::new(id.as_str()).map_err(|error| invalid("node_ids", &error))).collect()
}

fn invalid(param: &str, reason: &dyn std::fmt::Display) -> ApiError {
    ApiError::field(param, "invalid_value", format!("`{param}`: {reason}"))
}
