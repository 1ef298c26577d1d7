//! Why a model cannot be placed.

use exo_types::{Memory, ModelId, NodeId};

/// The reason, with the numbers and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Infeasible {
    /// No node at all.
    #[error("there is no node to place {model} on: start exo-worker on a node, or allow other nodes in the request")]
    NoNodes {
        /// The model.
        model: ModelId,
    },
    /// Nobody can load it.
    #[error("none of the nodes {} has the file of {model}: put it into a model directory there", list(nodes))]
    NoFile {
        /// The model.
        model: ModelId,
        /// The nodes that were asked.
        nodes: Vec<NodeId>,
    },
    /// More nodes asked for than can hold a part.
    #[error(
        "{asked} nodes were asked for, {usable} can hold a part of {model} (nodes with its file and enough memory)"
    )]
    TooFewNodes {
        /// The model.
        model: ModelId,
        /// Nodes asked for.
        asked: u32,
        /// Nodes that can hold at least one layer.
        usable: u32,
    },
    /// More nodes asked for than there are layers.
    #[error("{asked} nodes were asked for, {model} has {n_layers} layers: at most one node for each")]
    TooFewLayers {
        /// The model.
        model: ModelId,
        /// Nodes asked for.
        asked: u32,
        /// Its layers.
        n_layers: u32,
    },
    /// More nodes than there are heads to share.
    #[error(
        "{asked} nodes were asked to share each layer of {model}, which has {heads} heads: at most one node for each"
    )]
    TooFewHeads {
        /// The model.
        model: ModelId,
        /// Nodes asked for.
        asked: u32,
        /// Its query heads.
        heads: u32,
    },
    /// It is too large.
    #[error(
        "{model} needs {needed} with a context of {context_length} tokens; free: {}; free memory on a node, add a node, or ask for a shorter context",
        list_free(free)
    )]
    Memory {
        /// The model.
        model: ModelId,
        /// What one node would have to have.
        needed: Memory,
        /// The shortest context that was tried.
        context_length: u32,
        /// What the nodes with its file have.
        free: Vec<(NodeId, Memory)>,
    },
    /// The context asked for is none.
    #[error("a context of {asked} tokens was asked for; {model} takes 1 to {longest}")]
    Context {
        /// The model.
        model: ModelId,
        /// Tokens asked for.
        asked: u32,
        /// Tokens that the model was made for.
        longest: u32,
    },
    /// The model's card cannot be.
    #[error("the card of {model} is wrong: {reason}")]
    Card {
        /// The model.
        model: ModelId,
        /// How.
        reason: String,
    },
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}

fn list_free(free: &[(NodeId, Memory)]) -> String {
    free.iter().map(|(node, memory)| format!("node {node} has {memory}")).collect::<Vec<_>>().join(", ")
}
