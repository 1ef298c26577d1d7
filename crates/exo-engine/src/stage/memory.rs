//! How much memory a stage takes, before any of it is allocated.

use std::ops::Range;

use super::{Buffers, Split, StageLimits};
use crate::{device::Device, load_error::LoadError, model::Model};

/// Refuses a stage that takes more than `limit` bytes; `ends` are the bytes of the embedding and the head where it
/// has them. Returns the bytes of its weights.
pub(crate) fn check_memory<D: Device>(
    model: &Model,
    layers: &Range<usize>,
    (limits, split): (StageLimits, &Split),
    ends: u64,
    limit: Option<u64>,
) -> Result<u64, LoadError> {
    // At most: of some tensors it is less, and few are kept in four bytes a number.
    let shared = (model.layer_bytes(layers) as f64 * split.largest_part()).ceil() as u64;
    let repeated = 2 * split.repeated_key_rows() * model.config.hidden * size_of::<f32>() * layers.len();
    let weights = shared.saturating_add(repeated as u64);
    let caches = D::cache_bytes(limits.sizes(&model.config, split)).saturating_mul(layers.len() as u64);
    let buffers = u64::from(limits.tokens) * Buffers::<D>::row_bytes(&model.config, split);
    let needed = weights.saturating_add(caches).saturating_add(buffers).saturating_add(ends);
    match limit.filter(|&limit| needed > limit) {
        Some(limit) => Err(LoadError::Memory { needed, limit }),
        None => Ok(weights),
    }
}
