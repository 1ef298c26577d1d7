//! The family: one record for each architecture of what tells it from plain Llama. All are decoders but BERT.
//!
//! All share one forward pass (normalise, attend, normalise, feed forward), which reads the record; nothing else asks for
//! a name. An architecture is a file with its record, and a line in `ALL`. Names of keys and tensors are those that
//! llama.cpp's conversion writes.

use crate::config::{Activation, RopeLayout};

mod bert;
mod gemma2;
mod gemma3;
mod gpt_oss;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3moe;
pub(crate) mod tensors;

pub(crate) use tensors::{TensorNames, layer_of, layer_tensor};

/// Everything in which one architecture's files and forward pass may differ from another's.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// Name in `general.architecture`, and the first part of its metadata's keys.
    pub(crate) name: &'static str,
    /// Every token sees the whole text, and there is no head: it makes vectors of texts, and no text.
    pub(crate) is_encoder: bool,
    /// Positions, and types of tokens, are rows that are added to the embeddings; no head turns.
    pub(crate) learned_positions: bool,
    /// Norms take the mean away and have biases; they stand behind the embeddings, and where attention and feed-forward
    /// network have joined the hidden states. There are no others.
    pub(crate) norms_after: bool,
    /// The feed-forward network has a gate; without one it has GELU, as it is defined, between up and down.
    pub(crate) gated: bool,
    /// How its GGUF files pair the dimensions of a head that turn together.
    pub(crate) rope_layout: RopeLayout,
    /// Query, key and value are one tensor, gate and up are another.
    pub(crate) fused: bool,
    /// Query, key and value have biases.
    pub(crate) input_biases: bool,
    /// The attention's output has a bias, and so have router and experts, or the feed-forward network.
    pub(crate) output_biases: bool,
    /// Each head of query and key is normalised before it turns.
    pub(crate) head_norms: bool,
    /// What attention and feed-forward network give is normalised before it is added.
    pub(crate) post_norms: bool,
    /// Every query head has a sink.
    pub(crate) sinks: bool,
    /// Tensor of the norm before the feed-forward network.
    pub(crate) feed_forward_norm: &'static str,
    /// Between gate and up.
    pub(crate) activation: Activation,
    /// Whether the feed-forward network may consist of experts.
    pub(crate) experts: Experts,
    /// Embeddings are multiplied by the root of their width.
    pub(crate) scales_embedding: bool,
    /// Layers that see the last positions only.
    pub(crate) window: Option<WindowRule>,
    /// Base of the rotary frequencies in layers with a window, where it is one of its own.
    pub(crate) window_rope_base: Option<f32>,
    /// Number of layers of the one size whose scores are scaled by the hidden width per head instead of the head's.
    pub(crate) layers_scaled_by_hidden: Option<usize>,
    /// Cap of attention scores where the file names none.
    pub(crate) attention_soft_cap: Option<f32>,
    /// Cap of logits where the file names none.
    pub(crate) logit_soft_cap: Option<f32>,
}

/// Whether there are experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Experts {
    /// Never.
    None,
    /// If the file has an `expert_count`.
    IfCounted,
    /// Always.
    Always,
}

/// Which layers have a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowRule {
    /// Positions, where the file does not say.
    pub(crate) default: Option<usize>,
    /// Every so many layers one sees everything: the last of them. 0: none does.
    pub(crate) period: usize,
}

const ALL: [&Architecture; 10] = [
    &llama::LLAMA,
    &mistral::MISTRAL,
    &qwen2::QWEN2,
    &qwen3::QWEN3,
    &qwen3moe::QWEN3_MOE,
    &gemma2::GEMMA2,
    &gemma3::GEMMA3,
    &phi3::PHI3,
    &gpt_oss::GPT_OSS,
    &bert::BERT,
];

/// The architecture of that name.
pub(crate) fn architecture(name: &str) -> Option<&'static Architecture> {
    ALL.into_iter().find(|architecture| architecture.name == name)
}

/// All names, for an error.
pub(crate) fn names() -> String {
    ALL.map(|architecture| architecture.name).join(", ")
}
