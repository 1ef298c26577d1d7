//! What is to be placed, and on what.

use crate::memory::rank_memory;
use exo_state::State;
use exo_types::{Instance, Memory, ModelCard, NodeId, PlaceInstance, RunnerStatus, Sharding};
use std::collections::BTreeSet;

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Which.
    pub node_id: NodeId,
    /// Memory that nobody has and nobody was promised.
    pub free: Memory,
    /// How fast it is, relative to the others: its physical cores.
    pub speed: u32,
    /// Whether it has the model's file, so that it can load it now.
    pub has_model: bool,
    /// Nodes that it was seen to reach. Not seeing one is no proof: it costs, but does not exclude.
    pub reaches: BTreeSet<NodeId>,
}

/// What holds unless the request says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Longest context that is given unasked.
    pub context_length: u32,
    /// Sequences at the same time.
    pub max_sequences: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { context_length: 4096, max_sequences: 8 }
    }
}

/// A model to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub card: ModelCard,
    /// The nodes that may be used.
    pub nodes: Vec<NodeFacts>,
    /// On at least so many.
    pub min_nodes: u32,
    /// How to cut it.
    pub sharding: Sharding,
    /// Context in tokens, if a certain one is asked for. Else the largest that fits, up to the default.
    pub context_length: Option<u32>,
    /// What holds unasked.
    pub defaults: Defaults,
}

impl Problem {
    /// The problem that a request poses in a State. Nodes that are drained, or that the request does not allow, are
    /// left out.
    pub fn from_state(state: &State, request: &PlaceInstance, card: &ModelCard, defaults: Defaults) -> Self {
        let allowed = |node: &&NodeId| request.node_ids.is_empty() || request.node_ids.contains(node);
        let usable = state.topology.nodes.iter().filter(|node| state.is_usable(node));
        let nodes = usable.filter(allowed).map(|node| facts_of(state, node, card)).collect();
        Self {
            card: card.clone(),
            nodes,
            min_nodes: request.min_nodes.max(1),
            sharding: request.sharding,
            context_length: request.context_length,
            defaults,
        }
    }
}

fn facts_of(state: &State, node: &NodeId, card: &ModelCard) -> NodeFacts {
    let cores = state.node_identities.get(node).map_or(1, |info| info.cpu.physical_cores);
    let reaches = state.topology.connections.get(node).into_iter().flatten().map(|(sink, _)| sink.clone()).collect();
    NodeFacts {
        node_id: node.clone(),
        free: state.free_memory(node).saturating_sub(promised(state, node)),
        speed: cores.max(1),
        has_model: state.has_model(node, &card.model_id),
        reaches,
    }
}

/// Memory of runners that are placed on the node and have not taken it yet: it still counts as free there.
fn promised(state: &State, node: &NodeId) -> Memory {
    let of_instance = |instance: &Instance| {
        let (runner, shard) = instance.runner_on(node)?;
        let has_taken_it = matches!(
            state.runners.get(runner),
            Some(
                RunnerStatus::RunnerLoaded { .. }
                    | RunnerStatus::RunnerConnecting { .. }
                    | RunnerStatus::RunnerReady { .. }
            )
        );
        let (context, sequences) = (instance.context_length, instance.max_sequences);
        let need = rank_memory(instance.model_card(), shard, context, sequences);
        (!has_taken_it).then_some(need)
    };
    state.instances.values().filter_map(of_instance).fold(Memory::default(), Memory::saturating_add)
}
