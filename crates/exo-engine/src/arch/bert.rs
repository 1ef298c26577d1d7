//! BERT and the encoders of its shape: E5, BGE, GTE, MiniLM. Every token sees the whole text, positions are learned, and
//! norms stand behind what they normalise.

use super::{Architecture, Experts, llama::LLAMA};

pub(super) const BERT: Architecture = Architecture {
    name: "bert",
    is_encoder: true,
    learned_positions: true,
    norms_after: true,
    gated: false,
    input_biases: true,
    output_biases: true,
    experts: Experts::None,
    ..LLAMA
};
