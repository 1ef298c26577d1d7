//! What a shard takes of a node's memory.

use exo_types::{Memory, ModelCard};

/// What a runner takes besides weights and cache: its program, activations, tokenizer, buffers of its links.
pub const RUNNER_RESERVE: Memory = Memory::mib(64);

/// Memory of the runner that holds `layers` of the model: their weights, their part of the KV cache of all sequences,
/// the embedding and the output head if it is rank 0, and [`RUNNER_RESERVE`].
pub fn shard_memory(card: &ModelCard, layers: u32, is_head: bool, context_length: u32, max_sequences: u32) -> Memory {
    let need = layers_memory(card, layers, context_length, max_sequences).saturating_add(RUNNER_RESERVE);
    if is_head { need.saturating_add(head_memory(card)) } else { need }
}

/// Weights that are no layer's: embedding and output head.
pub(crate) fn head_memory(card: &ModelCard) -> Memory {
    let layers = card.layer_size.in_bytes.saturating_mul(u64::from(card.n_layers));
    card.storage_size.saturating_sub(Memory::bytes(layers))
}

fn layers_memory(card: &ModelCard, layers: u32, context_length: u32, max_sequences: u32) -> Memory {
    let weights = card.layer_size.in_bytes.saturating_mul(u64::from(layers));
    let tokens = u128::from(context_length) * u128::from(max_sequences);
    let cache = tokens * u128::from(card.kv_bytes_per_token) * u128::from(layers) / u128::from(card.n_layers.max(1));
    Memory::bytes(weights.saturating_add(u64::try_from(cache).unwrap_or(u64::MAX)))
}

/// How many layers fit in `free` beside what the runner takes anyway; none if not even that fits.
pub(crate) fn layers_that_fit(
    card: &ModelCard,
    free: Memory,
    is_head: bool,
    context_length: u32,
    max_sequences: u32,
) -> u32 {
    let fits = |layers| shard_memory(card, layers, is_head, context_length, max_sequences) <= free;
    let (mut most, mut too_many) = (0, card.n_layers.saturating_add(1));
    // The need grows with the layers, so halving finds the border.
    while too_many - most > 1 {
        let middle = most + (too_many - most) / 2;
        if fits(middle) { most = middle } else { too_many = middle }
    }
    most
}
