//! Room for the intermediate rows of a step.

use super::split::{Kind, Split};
use crate::{
    config::ModelConfig,
    device::{Device, DeviceError},
};

/// Rows of one step, each kind as wide as its name says.
pub(super) struct Buffers<D: Device> {
    pub(super) hidden: D::Buffer,
    pub(super) normed: D::Buffer,
    /// What a block adds to the hidden states, where that is more than one product.
    pub(super) branch: D::Buffer,
    pub(super) query: D::Buffer,
    pub(super) key: D::Buffer,
    pub(super) value: D::Buffer,
    pub(super) attended: D::Buffer,
    pub(super) gate: D::Buffer,
    pub(super) up: D::Buffer,
    /// Of models with experts.
    pub(super) experts: Option<ExpertBuffers<D>>,
    /// Of ranks that share their layers. The rows above are then parts of rows, but for `hidden`, `normed` and `branch`.
    pub(super) shared: Option<SharedBuffers<D>>,
}

/// Rows that are put together, or taken apart.
pub(super) struct SharedBuffers<D: Device> {
    pub(super) attended: D::Buffer,
    pub(super) gate: D::Buffer,
    /// This rank's part of hidden states.
    pub(super) own: D::Buffer,
    /// Its part of what experts make, row behind row.
    pub(super) experts_own: D::Buffer,
    /// The same of all ranks.
    pub(super) experts: D::Buffer,
}

/// Rows on their way through experts.
pub(super) struct ExpertBuffers<D: Device> {
    /// How well each expert suits each row.
    pub(super) scores: D::Buffer,
    /// Rows of one expert, in and out.
    pub(super) input: D::Buffer,
    pub(super) output: D::Buffer,
}

impl<D: Device> Buffers<D> {
    /// For steps of up to `rows` tokens.
    pub(super) fn new(device: &mut D, config: &ModelConfig, split: &Split, rows: usize) -> Result<Self, DeviceError> {
        let own = split.rows(Kind::Hidden).len();
        let width = split.rows(Kind::FeedForward).len();
        let shared = match split.is_whole() {
            true => None,
            false => {
                let routed = config.experts.map_or(0, |experts| experts.used * rows);
                Some(SharedBuffers {
                    attended: device.buffer(rows, config.query_width())?,
                    gate: device.buffer(rows, config.feed_forward)?,
                    own: device.buffer(rows, own)?,
                    experts_own: device.buffer(routed, width)?,
                    experts: device.buffer(routed, config.feed_forward)?,
                })
            }
        };
        let mut buffer = |width| device.buffer(rows, width);
        let experts = match config.experts {
            Some(experts) => Some(ExpertBuffers {
                scores: buffer(experts.count)?,
                input: buffer(config.hidden)?,
                output: buffer(own)?,
            }),
            None => None,
        };
        Ok(Self {
            hidden: buffer(config.hidden)?,
            normed: buffer(config.hidden)?,
            branch: buffer(config.hidden)?,
            query: buffer(split.query_rows().len())?,
            key: buffer(split.kv_rows().len())?,
            value: buffer(split.kv_rows().len())?,
            attended: buffer(split.query_rows().len())?,
            gate: buffer(width)?,
            up: buffer(width)?,
            experts,
            shared,
        })
    }

    /// Bytes of one row of all, at most.
    pub(super) fn row_bytes(config: &ModelConfig, split: &Split) -> u64 {
        let experts = config.experts.map_or(0, |experts| experts.count + 2 * config.hidden);
        let numbers =
            3 * config.hidden + 2 * config.query_width() + 2 * config.kv_width() + 2 * config.feed_forward + experts;
        let routed = config.experts.map_or(0, |experts| 2 * experts.used * config.feed_forward);
        let shared = config.hidden + config.query_width() + config.feed_forward + routed;
        let numbers = if split.is_whole() { numbers } else { numbers + shared };
        (numbers * size_of::<f32>()) as u64
    }
}
