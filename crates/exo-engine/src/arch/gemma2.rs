//! Gemma 2: norms on both sides, capped scores and logits, every other layer with a window.
//!
//! Its norms multiply by 1 + weight; GGUF files have the sum, and so has what is read here.

use super::{Architecture, Experts, WindowRule, llama::LLAMA};
use crate::config::{Activation, RopeLayout};

pub(super) const GEMMA2: Architecture = Architecture {
    name: "gemma2",
    rope_layout: RopeLayout::Halves,
    post_norms: true,
    activation: Activation::Gelu,
    experts: Experts::None,
    scales_embedding: true,
    window: Some(WindowRule { default: Some(4096), period: 2 }),
    // The 27 B model.
    layers_scaled_by_hidden: Some(46),
    attention_soft_cap: Some(50.0),
    logit_soft_cap: Some(30.0),
    ..LLAMA
};
