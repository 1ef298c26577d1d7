//! Which instance answers, and why none does.

use super::beginnings::Beginning;
use crate::app::App;
use exo_ambient::{Bug, planted};
use exo_node::View;
use exo_types::{Instance, InstanceId, ModelId, NodeId, RunnerStatus};
use exo_wire::{ApiError, TextRequest};
use std::cmp::Reverse;

/// An instance that knows a request's beginning may have so many more open generations than another one.
const BUSIER: usize = 2;

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

/// An instance that a request may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    instance: InstanceId,
    /// Its first node.
    node: NodeId,
    /// Open generations.
    open: usize,
    /// Pieces of the request's beginning that it has read.
    known: usize,
}

/// Ready instances and their first nodes, the best first.
pub(super) fn candidates(
    app: &App,
    model: &ModelId,
    beginning: &Beginning,
) -> Result<Vec<(InstanceId, NodeId)>, ApiError> {
    let view = app.view();
    let ready = view.state.instances_of(model).filter(|instance| is_candidate(&view, &instance.instance_id));
    let found: Vec<Candidate> = ready
        .filter_map(|instance| {
            let (node, _) = instance.head()?;
            let instance = instance.instance_id.clone();
            let (open, known) = (app.streams.on(&instance), app.beginnings.known(beginning, &instance));
            Some(Candidate { instance, node: node.clone(), open, known })
        })
        .collect();
    if found.is_empty() {
        return Err(unavailable(&view, model, &app.config.api));
    }
    Ok(best_first(found, beginning.len()).into_iter().map(|found| (found.instance, found.node)).collect())
}

/// Those with the fewest open generations first. Before them those that have read at least half of the request's
/// beginning, the one that has read most first, unless they are much busier: computing it again elsewhere is quicker then.
fn best_first(mut candidates: Vec<Candidate>, pieces: usize) -> Vec<Candidate> {
    let least = candidates.iter().map(|candidate| candidate.open).min().unwrap_or(0);
    let known = |candidate: &Candidate| {
        let is_worth_it = 2 * candidate.known >= pieces.max(1) && candidate.open <= least + BUSIER;
        if is_worth_it { candidate.known } else { 0 }
    };
    candidates.sort_by_cached_key(|candidate| {
        (Reverse(known(candidate)), candidate.open, candidate.instance.clone(), candidate.node.clone())
    });
    candidates
}

/// Whether requests go there. Asked again before each try: the one before may have taken long.
pub(super) fn is_candidate(view: &View, id: &InstanceId) -> bool {
    let instance = view.state.instances.get(id);
    instance.is_some_and(|instance| view.state.is_ready(instance) || planted(Bug::RouteToDeadRunner))
}

/// Why a model does not answer, and what to do.
fn unavailable(view: &View, model: &ModelId, api: &exo_config::Api) -> ApiError {
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
        let curl = format!("curl {}://127.0.0.1:{}/place_instance -d {body}", api.scheme(), api.port);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn order(candidates: &[(&str, usize, usize)], pieces: usize) -> Vec<String> {
        let candidate = |(name, open, known): &(&str, usize, usize)| Candidate {
            instance: name.parse().expect("a good id"),
            node: "n".parse().expect("a good id"),
            open: *open,
            known: *known,
        };
        let ordered = best_first(candidates.iter().map(candidate).collect(), pieces);
        ordered.into_iter().map(|candidate| candidate.instance.to_string()).collect()
    }

    #[test]
    fn a_chat_goes_on_where_its_beginning_is_unless_that_is_much_busier() {
        assert_eq!(order(&[("c", 2, 0), ("a", 1, 0), ("b", 1, 0)], 9), ["a", "b", "c"], "nobody knows it");
        assert_eq!(order(&[("a", 0, 0), ("b", 2, 9), ("c", 1, 5)], 9), ["b", "c", "a"]);
        assert_eq!(order(&[("a", 0, 0), ("b", 3, 9), ("c", 1, 5)], 9), ["c", "a", "b"], "b is much busier");
        assert_eq!(order(&[("a", 1, 0), ("b", 2, 4)], 9), ["a", "b"], "less than half is not worth it");
        assert_eq!(order(&[("a", 1, 0), ("b", 0, 0)], 0), ["b", "a"], "nothing is known of a short one");
    }
}
