//! What a shard takes of a node's memory.

use exo_types::{Memory, ModelCard, Shard};

/// What a runner takes besides weights and cache: its program, activations, tokenizer, buffers of its links.
pub const RUNNER_RESERVE: Memory = Memory::mib(64);

/// Memory of the runner that holds `layers` of the model: their weights, their part of the KV cache of all sequences,
/// the embedding and the output head if it is rank 0, and [`RUNNER_RESERVE`].
pub fn shard_memory(card: &ModelCard, layers: u32, is_head: bool, context_length: u32, max_sequences: u32) -> Memory {
    let cache = cache_memory(card, layers, context_length, max_sequences);
    let need = layer_weights(card, layers).saturating_add(cache).saturating_add(RUNNER_RESERVE);
    if is_head { need.saturating_add(head_memory(card)) } else { need }
}

/// Memory of the runner that holds that shard.
pub fn rank_memory(card: &ModelCard, shard: &Shard, context_length: u32, max_sequences: u32) -> Memory {
    let (layers, is_first) = (shard.len(), shard.start_layer == 0);
    match shard.tensor.size {
        0 | 1 => shard_memory(card, layers, is_first, context_length, max_sequences),
        size => share_memory(card, layers, is_first, (context_length, max_sequences), size),
    }
}

/// Memory of a runner that shares `layers`, and the head with the first of them, with others; `size` in all.
///
/// It is that of the largest share. Ranks get whole key heads, or where there are more ranks than those, query heads; an
/// eighth is added for what does not divide better.
pub(crate) fn share_memory(
    card: &ModelCard,
    layers: u32,
    is_first: bool,
    (context_length, max_sequences): (u32, u32),
    size: u32,
) -> Memory {
    let (heads, kv_heads) = (card.heads.max(1), card.kv_heads.clamp(1, card.heads.max(1)));
    let most_keys = kv_heads.div_ceil(size);
    let group = heads / kv_heads;
    let most_heads = if kv_heads >= size { most_keys * group } else { group.div_ceil(size / kv_heads) };
    let head = if is_first { head_memory(card) } else { Memory::default() };
    let weights = part(layer_weights(card, layers).saturating_add(head), most_heads, heads);
    let weights = weights.saturating_add(Memory::bytes(weights.in_bytes / 8));
    let cache = part(cache_memory(card, layers, context_length, max_sequences), most_keys, kv_heads);
    weights.saturating_add(cache).saturating_add(RUNNER_RESERVE)
}

fn part(whole: Memory, some: u32, of: u32) -> Memory {
    let bytes = (u128::from(whole.in_bytes) * u128::from(some)).div_ceil(u128::from(of.max(1)));
    Memory::bytes(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// Weights that are no layer's: embedding and output head.
pub(crate) fn head_memory(card: &ModelCard) -> Memory {
    let layers = card.layer_size.in_bytes.saturating_mul(u64::from(card.n_layers));
    card.storage_size.saturating_sub(Memory::bytes(layers))
}

fn layer_weights(card: &ModelCard, layers: u32) -> Memory {
    Memory::bytes(card.layer_size.in_bytes.saturating_mul(u64::from(layers)))
}

/// Keys and values of all sequences.
fn cache_memory(card: &ModelCard, layers: u32, context_length: u32, max_sequences: u32) -> Memory {
    let tokens = u128::from(context_length) * u128::from(max_sequences);
    let cache = tokens * u128::from(card.kv_bytes_per_token) * u128::from(layers) / u128::from(card.n_layers.max(1));
    Memory::bytes(u64::try_from(cache).unwrap_or(u64::MAX))
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
