//! Whether the models that are to be placed are here and fit, by the rules that a master places them by.

use crate::doctor::facts::Facts;
use crate::doctor::finding::{Finding, Severity};
use exo_config::Mode;
use exo_placement::{Defaults, Infeasible, NodeFacts, Problem, RUNNER_RESERVE, Solution, solve};
use exo_types::{Memory, ModelCard, ModelId, NodeId, Sharding};
use std::collections::BTreeSet;

const SMALLER: &str =
    "take a smaller quantisation (models.quantize), or lower engine.maxSequences or runner.memoryReserve";

/// Where no worker runs, models need neither files nor memory.
pub(super) fn models(facts: &Facts, findings: &mut Vec<Finding>) {
    if facts.config.mode == Mode::Master {
        return;
    }
    let (reserve, total) = (facts.config.runner.memory_reserve, facts.resources.ram_total);
    let room = total.saturating_sub(reserve);
    if room <= RUNNER_RESERVE {
        let message = format!("runner.memoryReserve {reserve} leaves nothing of this machine's {total} for models");
        findings.push(Finding::error("memory", message, "lower it, or set mode to \"master\""));
        return;
    }
    let mut left = room;
    for (model, card) in &facts.models {
        match card {
            None => findings.push(missing(facts, model)),
            Some(card) => findings.extend(judge(facts, card, room, &mut left)),
        }
    }
    findings.extend(crowded(facts, room.saturating_sub(left)));
}

fn missing(facts: &Facts, model: &ModelId) -> Finding {
    let message = format!("model {model} (models.place) is not on this machine");
    let unless = if is_alone(facts) { "" } else { ", unless other nodes have it" };
    finding(facts, "models", message, format!("put {model}.gguf into a directory of models.dirs{unless}"))
}

/// Takes from what is `left` of the `room` what the model gets on this machine when nothing but exo runs here.
fn judge(facts: &Facts, card: &ModelCard, room: Memory, left: &mut Memory) -> Option<Finding> {
    match placed_here(facts, card, *left) {
        Ok(solution) => {
            let memory = solution.ranks.iter().fold(Memory::default(), |sum, rank| sum.saturating_add(rank.memory));
            *left = left.saturating_sub(memory);
            above_limit(facts, card, memory).or_else(|| shortened(facts, card, &solution))
        }
        Err(Infeasible::Memory { model, needed, context_length, .. }) => {
            let beside = if *left == room { "" } else { " beside the other models of models.place" };
            let message = format!(
                "model {model} needs {needed}, with a context of only {context_length} tokens, and exo may use {left} \
                 of this machine's memory{beside}"
            );
            let nodes = if is_alone(facts) { "add a node that has the model" } else { "it needs other nodes too" };
            Some(finding(facts, "memory", message, format!("{nodes}; or {SMALLER}")))
        }
        Err(reason) => Some(Finding::error("models", reason.to_string(), "replace its file")),
    }
}

/// As the leading master places it where there is only this machine, with that much free memory.
fn placed_here(facts: &Facts, card: &ModelCard, free: Memory) -> Result<Solution, Infeasible> {
    let engine = &facts.config.engine;
    let here = NodeFacts {
        node_id: NodeId::new("here").expect("a word is an id"),
        free,
        speed: 1,
        has_model: true,
        reaches: BTreeSet::new(),
    };
    solve(&Problem {
        card: card.clone(),
        nodes: vec![here],
        min_nodes: 1,
        sharding: Sharding::Pipeline,
        context_length: None,
        defaults: Defaults { context_length: engine.context_length, max_sequences: engine.max_sequences },
    })
}

/// A master knows nothing of this node's limit: it places the model, and the runner fails.
fn above_limit(facts: &Facts, card: &ModelCard, memory: Memory) -> Option<Finding> {
    let taken = memory.saturating_sub(RUNNER_RESERVE);
    let limit = facts.config.runner.memory_limit.filter(|limit| taken > *limit)?;
    let message = format!("model {} takes {taken}, and a runner may take {limit} (runner.memoryLimit)", card.model_id);
    let remedy = "raise it, or lower engine.contextLength or engine.maxSequences";
    Some(finding(facts, "memory", message, remedy.to_owned()))
}

fn shortened(facts: &Facts, card: &ModelCard, solution: &Solution) -> Option<Finding> {
    let (given, wanted) = (solution.context_length, facts.config.engine.context_length.min(card.context_length));
    let model = &card.model_id;
    let message = format!("memory is left for a context of {given} tokens with model {model}, not for {wanted}");
    (given < wanted)
        .then(|| Finding::warning("memory", message, format!("add a node that has the model, or {SMALLER}")))
}

/// Other programs have what the models will need. Where exo runs, it may be exo itself that has it.
fn crowded(facts: &Facts, needed: Memory) -> Option<Finding> {
    let free = facts.resources.ram_available;
    let message = format!("the models of models.place take {needed}, and of this machine's memory {free} are left now");
    let remedy = "end programs that take memory before exo starts";
    (facts.nodes.is_none() && needed > free).then(|| Finding::warning("memory", message, remedy))
}

/// Where there is no other node the model is never served; where there are some they may hold it, or a part.
fn finding(facts: &Facts, check: &'static str, message: String, remedy: String) -> Finding {
    let severity = if is_alone(facts) { Severity::Error } else { Severity::Warning };
    Finding { severity, check, message, remedy }
}

/// Whether this machine never meets another, or is in a cluster with no other.
fn is_alone(facts: &Facts) -> bool {
    facts.config.networking.loopback_only || facts.nodes == Some(1)
}
