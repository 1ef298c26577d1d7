//! Llama 1 to 3 and whatever has their shape: Mistral and Mixtral in GGUF files, TinyLlama, SmolLM, exo-guide.

use super::{Architecture, Experts};
use crate::config::{Activation, RopeLayout};

/// The plain one: the other records name what differs from it.
pub(super) const LLAMA: Architecture = Architecture {
    name: "llama",
    is_encoder: false,
    learned_positions: false,
    norms_after: false,
    gated: true,
    // Its files store query and key rows permuted so that pairs are neighbours.
    rope_layout: RopeLayout::Interleaved,
    fused: false,
    input_biases: false,
    output_biases: false,
    head_norms: false,
    post_norms: false,
    sinks: false,
    feed_forward_norm: "ffn_norm",
    activation: Activation::Silu,
    experts: Experts::IfCounted,
    scales_embedding: false,
    window: None,
    window_rope_base: None,
    layers_scaled_by_hidden: None,
    attention_soft_cap: None,
    logit_soft_cap: None,
};
