//! Qwen 2 and 2.5: biases on query, key and value.

use super::{Architecture, Experts, llama::LLAMA};
use crate::config::RopeLayout;

pub(super) const QWEN2: Architecture = Architecture {
    name: "qwen2",
    rope_layout: RopeLayout::Halves,
    input_biases: true,
    experts: Experts::None,
    ..LLAMA
};
