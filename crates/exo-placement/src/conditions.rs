//! What a problem must be, and what a solution promises. One function for each; the tests ask them all.

use crate::memory::{shard_memory, share_memory};
use crate::{Problem, Solution};
use exo_types::Sharding;
use std::collections::BTreeSet;

/// A broken condition, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// Whether the problem can be asked at all.
pub fn check_problem(problem: &Problem) -> Result<(), Broken> {
    card_has_layers_and_context(problem)?;
    nodes_are_named_once(problem)
}

/// Whether the solution keeps what it promises for that problem.
pub fn check_solution(problem: &Problem, solution: &Solution) -> Result<(), Broken> {
    layers_are_covered_once_in_order(problem, solution)?;
    every_rank_has_its_own_node(problem, solution)?;
    every_rank_fits_in_free_memory(problem, solution)?;
    enough_nodes_are_used(problem, solution)?;
    the_context_is_what_was_asked_for(problem, solution)
}

fn verify(holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

/// A model has at least one layer and one token of context.
pub fn card_has_layers_and_context(problem: &Problem) -> Result<(), Broken> {
    let card = &problem.card;
    verify(card.n_layers > 0, || format!("{} has no layer", card.model_id))?;
    verify(card.context_length > 0, || format!("{} has no context", card.model_id))
}

/// No node stands twice.
pub fn nodes_are_named_once(problem: &Problem) -> Result<(), Broken> {
    let names: BTreeSet<_> = problem.nodes.iter().map(|node| &node.node_id).collect();
    verify(names.len() == problem.nodes.len(), || "a node stands twice".to_owned())
}

/// Layers 0..n, each once, at least one for each rank; or all of them on each, in a tensor split.
pub fn layers_are_covered_once_in_order(problem: &Problem, solution: &Solution) -> Result<(), Broken> {
    if solution.sharding == Sharding::Tensor {
        let (all, heads) = (0..problem.card.n_layers, problem.card.heads as usize);
        verify(solution.ranks.len() <= heads, || "a rank without a head".to_owned())?;
        return verify(solution.ranks.iter().all(|rank| rank.layers == all), || "a rank without all layers".to_owned());
    }
    let mut next = 0;
    for rank in &solution.ranks {
        verify(rank.layers.start == next && rank.layers.end > next, || {
            format!("layers {:?} after {next}", rank.layers)
        })?;
        next = rank.layers.end;
    }
    verify(next == problem.card.n_layers, || format!("layers end at {next}"))
}

/// One rank for each node, and only nodes that can load the model.
pub fn every_rank_has_its_own_node(problem: &Problem, solution: &Solution) -> Result<(), Broken> {
    let mut used = BTreeSet::new();
    solution.ranks.iter().try_for_each(|rank| {
        verify(used.insert(&rank.node_id), || format!("node {} has two ranks", rank.node_id))?;
        let known = problem.nodes.iter().find(|node| node.node_id == rank.node_id);
        verify(known.is_some_and(|node| node.has_model), || format!("node {} does not have the model", rank.node_id))
    })
}

/// What a rank takes is free on its node.
pub fn every_rank_fits_in_free_memory(problem: &Problem, solution: &Solution) -> Result<(), Broken> {
    solution.ranks.iter().enumerate().try_for_each(|(number, rank)| {
        let layers = rank.layers.end - rank.layers.start;
        let (context, sequences) = (solution.context_length, solution.max_sequences);
        let needed = match solution.sharding {
            Sharding::Pipeline => shard_memory(&problem.card, layers, number == 0, context, sequences),
            Sharding::Tensor => {
                let size = solution.ranks.len() as u32;
                share_memory(&problem.card, layers, true, (context, sequences), size)
            }
        };
        let node = problem.nodes.iter().find(|node| node.node_id == rank.node_id);
        verify(rank.memory == needed, || format!("rank {number} says {}, takes {needed}", rank.memory))?;
        verify(node.is_some_and(|node| needed <= node.free), || format!("rank {number} does not fit"))
    })
}

/// As many as asked for.
pub fn enough_nodes_are_used(problem: &Problem, solution: &Solution) -> Result<(), Broken> {
    verify(solution.ranks.len() >= problem.min_nodes as usize, || format!("{} nodes", solution.ranks.len()))
}

/// The context asked for, or one within the model's and the default.
pub fn the_context_is_what_was_asked_for(problem: &Problem, solution: &Solution) -> Result<(), Broken> {
    let context = solution.context_length;
    let good = match problem.context_length {
        Some(asked) => context == asked,
        None => context >= 1 && context <= problem.card.context_length.min(problem.defaults.context_length),
    };
    verify(good, || format!("a context of {context}"))
}
