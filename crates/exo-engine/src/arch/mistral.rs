//! Mistral as Hugging Face has it; in GGUF files it is `llama`, without its window.

use super::{Architecture, Experts, WindowRule, llama::LLAMA};
use crate::config::RopeLayout;

pub(super) const MISTRAL: Architecture = Architecture {
    name: "mistral",
    rope_layout: RopeLayout::Halves,
    experts: Experts::None,
    window: Some(WindowRule { default: None, period: 0 }),
    ..LLAMA
};
