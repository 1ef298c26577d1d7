//! Room for the intermediate rows of a step.

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
    pub(super) fn new(device: &mut D, config: &ModelConfig, rows: usize) -> Result<Self, DeviceError> {
        let mut buffer = |width| device.buffer(rows, width);
        let experts = match config.experts {
            Some(experts) => Some(ExpertBuffers {
                scores: buffer(experts.count)?,
                input: buffer(config.hidden)?,
                output: buffer(config.hidden)?,
            }),
            None => None,
        };
        Ok(Self {
            hidden: buffer(config.hidden)?,
            normed: buffer(config.hidden)?,
            branch: buffer(config.hidden)?,
            query: buffer(config.query_width())?,
            key: buffer(config.kv_width())?,
            value: buffer(config.kv_width())?,
            attended: buffer(config.query_width())?,
            gate: buffer(config.feed_forward)?,
            up: buffer(config.feed_forward)?,
            experts,
        })
    }

    /// Bytes of one row of all.
    pub(super) fn row_bytes(config: &ModelConfig) -> u64 {
        let experts = config.experts.map_or(0, |experts| experts.count + 2 * config.hidden);
        let numbers =
            3 * config.hidden + 2 * config.query_width() + 2 * config.kv_width() + 2 * config.feed_forward + experts;
        (numbers * size_of::<f32>()) as u64
    }
}
