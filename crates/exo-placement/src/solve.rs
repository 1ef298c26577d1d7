//! From a problem to its solution.
//!
//! For a number of nodes `k` there are two orders in which to take nodes: the fastest first, and those with the most
//! room first. Each gives `k` nodes; they are put into an order of ranks along links that were seen to work; layers are
//! shared out by speed within room; the quicker of the two is kept. The smallest `k` that fits is the answer, because
//! every hop costs and a stage less never does. All of it is O(n²) for each k.
//!
//! A tensor split, which has to be asked for, gives each of k nodes an even share of all layers.

use crate::memory::{layers_that_fit, shard_memory, share_memory};
use crate::split::split;
use crate::{Infeasible, NodeFacts, Problem, RankPlan, Solution, check_problem};
use exo_types::{Memory, Sharding};
use std::cmp::Reverse;

/// Shortest context that is given unasked.
const SHORTEST_CONTEXT: u32 = 512;

/// Cost of a hop, where 1 is a layer on one core: a round through the loopback or a switch against a small layer.
const HOP_SEEN: f64 = 0.2;
/// Exchanges between all ranks in a layer of a tensor split.
const EXCHANGES: f64 = 4.0;
/// A link that was not seen to work may have to be found first, or not be there.
const HOP_UNSEEN: f64 = 1.0;

/// What a number of nodes would come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// So many nodes.
    pub nodes: u32,
    /// The placement, or why there is none.
    pub outcome: Result<Solution, Infeasible>,
}

/// The best placement.
pub fn solve(problem: &Problem) -> Result<Solution, Infeasible> {
    let candidates = candidates(problem)?;
    let most = match problem.sharding {
        Sharding::Pipeline => candidates.len().min(problem.card.n_layers as usize),
        Sharding::Tensor => candidates.len().min(problem.card.heads as usize),
    };
    let contexts = contexts(problem);
    let solutions = contexts.iter().flat_map(|context| {
        let counts = least(problem) as usize..=most;
        counts.filter_map(|count| place_on(problem, &candidates, count, *context))
    });
    // A longer context on more nodes is preferred to a shorter one on fewer: the model stays as useful as it can be.
    let mut solutions = solutions;
    solutions.next().ok_or_else(|| why_not(problem, &candidates, &contexts))
}

/// Solutions for exactly 1, 2, … nodes, as far as there are nodes.
pub fn previews(problem: &Problem) -> Vec<Preview> {
    let usable = problem.nodes.iter().filter(|node| node.has_model).count().max(1) as u32;
    let counts = least(problem)..=usable.max(least(problem));
    let preview = |nodes| Preview { nodes, outcome: solve_exactly(problem, nodes) };
    counts.map(preview).collect()
}

fn solve_exactly(problem: &Problem, nodes: u32) -> Result<Solution, Infeasible> {
    let exact = Problem { min_nodes: nodes, ..problem.clone() };
    let candidates = candidates(&exact)?;
    let contexts = contexts(&exact);
    let found = contexts.iter().find_map(|context| place_on(&exact, &candidates, nodes as usize, *context));
    found.ok_or_else(|| why_not(&exact, &candidates, &contexts))
}

/// Nodes that have to be used: what is shared is shared by two.
fn least(problem: &Problem) -> u32 {
    let shared = match problem.sharding {
        Sharding::Pipeline => 1,
        Sharding::Tensor => 2,
    };
    problem.min_nodes.max(shared)
}

/// The nodes that could hold a part, after everything that can be refused without looking at memory.
fn candidates(problem: &Problem) -> Result<Vec<&NodeFacts>, Infeasible> {
    let model = problem.card.model_id.clone();
    check_problem(problem).map_err(|broken| Infeasible::Card { model: model.clone(), reason: broken.0 })?;
    let longest = problem.card.context_length;
    if let Some(asked) = problem.context_length.filter(|asked| *asked == 0 || *asked > longest) {
        return Err(Infeasible::Context { model, asked, longest });
    }
    let (asked, n_layers) = (problem.min_nodes, problem.card.n_layers);
    if asked > n_layers && problem.sharding == Sharding::Pipeline {
        return Err(Infeasible::TooFewLayers { model, asked, n_layers });
    }
    let heads = problem.card.heads;
    if least(problem) > heads && problem.sharding == Sharding::Tensor {
        return Err(Infeasible::TooFewHeads { model, asked: least(problem), heads });
    }
    if problem.nodes.is_empty() {
        return Err(Infeasible::NoNodes { model });
    }
    let with_file: Vec<_> = problem.nodes.iter().filter(|node| node.has_model).collect();
    if with_file.is_empty() {
        let nodes = problem.nodes.iter().map(|node| node.node_id.clone()).collect();
        return Err(Infeasible::NoFile { model, nodes });
    }
    Ok(with_file)
}

/// Contexts to try, longest first: the one asked for, or halves of the default.
fn contexts(problem: &Problem) -> Vec<u32> {
    if let Some(asked) = problem.context_length {
        return vec![asked];
    }
    let longest = problem.card.context_length.min(problem.defaults.context_length).max(1);
    let shortest = SHORTEST_CONTEXT.min(longest);
    std::iter::successors(Some(longest), |context| Some(context / 2)).take_while(|c| *c >= shortest).collect()
}

/// The better of two choices of exactly `count` nodes, if any fits.
fn place_on(problem: &Problem, candidates: &[&NodeFacts], count: usize, context: u32) -> Option<Solution> {
    let sequences = problem.defaults.max_sequences.max(1);
    let fits = |node: &&NodeFacts| match problem.sharding {
        Sharding::Pipeline => layers_that_fit(&problem.card, node.free, false, context, sequences) > 0,
        Sharding::Tensor => tensor_share(problem, count, context) <= node.free,
    };
    let mut usable: Vec<_> = candidates.iter().copied().filter(fits).collect();
    if usable.len() < count {
        return None;
    }
    usable.sort_by_key(|node| (Reverse(node.speed), Reverse(node.free), &node.node_id));
    let fastest = order(usable.iter().copied().take(count).collect());
    usable.sort_by_key(|node| (Reverse(node.free), Reverse(node.speed), &node.node_id));
    let roomiest = order(usable.iter().copied().take(count).collect());
    let solutions = [fastest, roomiest].map(|chain| match problem.sharding {
        Sharding::Pipeline => place_along(problem, &chain, context),
        Sharding::Tensor => Some(share_out(problem, &chain, context)),
    });
    solutions.into_iter().flatten().min_by(|a, b| a.cost.total_cmp(&b.cost))
}

/// Puts nodes into an order of ranks: the one with the most memory first, since it also holds embedding and head; then
/// always one that the last was seen to reach, if there is one.
fn order(mut nodes: Vec<&NodeFacts>) -> Vec<&NodeFacts> {
    nodes.sort_by_key(|node| (Reverse(node.free), Reverse(node.speed), &node.node_id));
    let mut chain: Vec<&NodeFacts> = Vec::with_capacity(nodes.len());
    while !nodes.is_empty() {
        let seen = |node: &&NodeFacts| chain.last().is_some_and(|last| last.reaches.contains(&node.node_id));
        let next = nodes.iter().position(seen).unwrap_or(0);
        chain.push(nodes.remove(next));
    }
    chain
}

fn place_along(problem: &Problem, chain: &[&NodeFacts], context_length: u32) -> Option<Solution> {
    let card = &problem.card;
    let max_sequences = problem.defaults.max_sequences.max(1);
    let ranks = chain.iter().enumerate();
    let room = ranks.map(|(rank, node)| layers_that_fit(card, node.free, rank == 0, context_length, max_sequences));
    let room: Vec<u32> = room.collect();
    let speeds: Vec<u32> = chain.iter().map(|node| node.speed).collect();
    let layers = split(card.n_layers, &room, &speeds)?;
    let cost = cost(chain, &layers);
    let mut start = 0;
    let plan = |(rank, (node, count)): (usize, (&&NodeFacts, u32))| {
        let layers = start..start + count;
        start = layers.end;
        let memory = shard_memory(card, count, rank == 0, context_length, max_sequences);
        RankPlan { node_id: node.node_id.clone(), layers, memory }
    };
    let ranks = chain.iter().zip(layers).enumerate().map(plan).collect();
    Some(Solution { sharding: Sharding::Pipeline, ranks, context_length, max_sequences, cost })
}

/// What each of so many ranks takes that share all layers.
fn tensor_share(problem: &Problem, ranks: usize, context_length: u32) -> Memory {
    let (card, sequences) = (&problem.card, problem.defaults.max_sequences.max(1));
    share_memory(card, card.n_layers, true, (context_length, sequences), ranks as u32)
}

/// Every node has its share of every layer: the slowest decides, and all wait for each other four times a layer.
fn share_out(problem: &Problem, chain: &[&NodeFacts], context_length: u32) -> Solution {
    let memory = tensor_share(problem, chain.len(), context_length);
    let layers = 0..problem.card.n_layers;
    let slowest = chain.iter().map(|node| node.speed.max(1)).min().unwrap_or(1);
    let sees = |node: &&NodeFacts| {
        chain.iter().all(|other| other.node_id == node.node_id || node.reaches.contains(&other.node_id))
    };
    let exchange = if chain.iter().all(sees) { HOP_SEEN } else { HOP_UNSEEN };
    let compute = 1.0 / (f64::from(slowest) * chain.len() as f64);
    Solution {
        sharding: Sharding::Tensor,
        ranks: chain
            .iter()
            .map(|node| RankPlan { node_id: node.node_id.clone(), layers: layers.clone(), memory })
            .collect(),
        context_length,
        max_sequences: problem.defaults.max_sequences.max(1),
        cost: f64::from(problem.card.n_layers) * (compute + EXCHANGES * exchange),
    }
}

/// Time of one token: it passes every layer and every link, the one back to rank 0 included.
fn cost(chain: &[&NodeFacts], layers: &[u32]) -> f64 {
    let compute: f64 = chain.iter().zip(layers).map(|(node, n)| f64::from(*n) / f64::from(node.speed.max(1))).sum();
    if chain.len() < 2 {
        return compute;
    }
    let nexts = chain.iter().cycle().skip(1);
    let hop = |(node, next): (&&NodeFacts, &&NodeFacts)| {
        if node.reaches.contains(&next.node_id) { HOP_SEEN } else { HOP_UNSEEN }
    };
    compute + chain.iter().zip(nexts).map(hop).sum::<f64>()
}

fn why_not(problem: &Problem, candidates: &[&NodeFacts], contexts: &[u32]) -> Infeasible {
    let card = &problem.card;
    let model = card.model_id.clone();
    let context_length = contexts.last().copied().unwrap_or(SHORTEST_CONTEXT);
    let sequences = problem.defaults.max_sequences.max(1);
    let asked = least(problem);
    let can = |node: &&&NodeFacts| match problem.sharding {
        Sharding::Pipeline => layers_that_fit(card, node.free, false, context_length, sequences) > 0,
        Sharding::Tensor => tensor_share(problem, asked as usize, context_length) <= node.free,
    };
    let usable = candidates.iter().filter(can).count() as u32;
    if usable < asked && asked > 1 {
        return Infeasible::TooFewNodes { model, asked, usable };
    }
    let needed: Memory = shard_memory(card, card.n_layers, true, context_length, sequences);
    let free = candidates.iter().map(|node| (node.node_id.clone(), node.free)).collect();
    Infeasible::Memory { model, needed, context_length, free }
}

#[cfg(test)]
mod tests;
