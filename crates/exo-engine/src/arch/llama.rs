//! Llama 1 to 3 and whatever has their shape (Mistral, TinyLlama, SmolLM, exo-guide).

use super::{Family, LayerTensors, ModelTensors};
use crate::config::RopeLayout;

pub(super) const FAMILY: Family = Family {
    name: "llama",
    // Files of this family store query and key rows permuted so that pairs are neighbours.
    rope_layout: RopeLayout::Interleaved,
    tensors: ModelTensors {
        embedding: "token_embd.weight",
        output_norm: "output_norm.weight",
        output: "output.weight",
        rope_factors: "rope_freqs.weight",
        layer: LayerTensors {
            attention_norm: "attn_norm.weight",
            query: "attn_q.weight",
            key: "attn_k.weight",
            value: "attn_v.weight",
            attention_output: "attn_output.weight",
            feed_forward_norm: "ffn_norm.weight",
            gate: "ffn_gate.weight",
            up: "ffn_up.weight",
            down: "ffn_down.weight",
        },
    },
};
