//! Qwen 3: no biases, but normalised heads.

use super::{Architecture, Experts, llama::LLAMA};
use crate::config::RopeLayout;

pub(super) const QWEN3: Architecture =
    Architecture { name: "qwen3", rope_layout: RopeLayout::Halves, head_norms: true, experts: Experts::None, ..LLAMA };
