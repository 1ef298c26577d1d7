//! Gemma 3: Gemma 2 with normalised heads in place of the caps, and five layers with a window for each without.

use super::{Architecture, WindowRule, gemma2::GEMMA2};

pub(super) const GEMMA3: Architecture = Architecture {
    name: "gemma3",
    head_norms: true,
    window: Some(WindowRule { default: None, period: 6 }),
    window_rope_base: Some(10_000.0),
    // The 27 B model.
    layers_scaled_by_hidden: Some(62),
    attention_soft_cap: None,
    logit_soft_cap: None,
    ..GEMMA2
};
