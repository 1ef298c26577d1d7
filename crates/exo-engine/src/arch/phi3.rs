//! Phi 3 and 3.5, and Phi 4 (mini): Llama with fused tensors, and factors of the rotary frequencies for long contexts.
//!
//! Some of its files name a window; the models work without it, which is how llama.cpp runs them too.

use super::{Architecture, Experts, llama::LLAMA};
use crate::config::RopeLayout;

pub(super) const PHI3: Architecture =
    Architecture { name: "phi3", rope_layout: RopeLayout::Halves, fused: true, experts: Experts::None, ..LLAMA };
