//! gpt-oss: experts, biases everywhere, sinks, and every other layer with a window.

use super::{Architecture, Experts, WindowRule, llama::LLAMA};
use crate::config::{Activation, RopeLayout};

pub(super) const GPT_OSS: Architecture = Architecture {
    name: "gpt-oss",
    rope_layout: RopeLayout::Halves,
    input_biases: true,
    output_biases: true,
    sinks: true,
    // It stands after the attention, and so it is called.
    feed_forward_norm: "post_attention_norm",
    activation: Activation::ClampedSilu,
    experts: Experts::Always,
    window: Some(WindowRule { default: Some(128), period: 2 }),
    ..LLAMA
};
