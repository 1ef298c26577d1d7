//! How much memory a stage takes, before any of it is allocated.

use std::ops::Range;

use super::{Buffers, StageLimits};
use crate::{device::Device, load_error::LoadError, model::Model};

/// Refuses a stage that takes more than `limit` bytes; `ends` are the bytes of the embedding and the head where it
/// has them. Returns the bytes of its weights.
pub(crate) fn check_memory<D: Device>(
    model: &Model,
    layers: &Range<usize>,
    limits: StageLimits,
    ends: u64,
    limit: Option<u64>,
) -> Result<u64, LoadError> {
    let weights = model.layer_bytes(layers);
    let caches = D::cache_bytes(limits.sizes(&model.config)).saturating_mul(layers.len() as u64);
    let buffers = u64::from(limits.tokens) * Buffers::<D>::row_bytes(&model.config);
    let needed = weights.saturating_add(caches).saturating_add(buffers).saturating_add(ends);
    match limit.filter(|&limit| needed > limit) {
        Some(limit) => Err(LoadError::Memory { needed, limit }),
        None => Ok(weights),
    }
}
