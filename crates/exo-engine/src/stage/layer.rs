//! The weights of one layer.

use super::Loading;
use crate::{device::Device, load_error::LoadError, model::Model};

/// Matrices and norms of a decoder layer.
pub(super) struct Layer<D: Device> {
    pub(super) attention_norm: D::Buffer,
    pub(super) query: D::Weights,
    pub(super) key: D::Weights,
    pub(super) value: D::Weights,
    pub(super) attention_output: D::Weights,
    pub(super) feed_forward_norm: D::Buffer,
    pub(super) gate: D::Weights,
    pub(super) up: D::Weights,
    pub(super) down: D::Weights,
}

impl<D: Device> Layer<D> {
    pub(super) fn load(
        model: &Model,
        device: &mut D,
        layer: usize,
        loading: &mut Loading<'_>,
    ) -> Result<Self, LoadError> {
        let (config, names) = (&model.config, &model.family.tensors.layer);
        let (hidden, feed_forward) = (config.hidden, config.feed_forward);
        let norm = |device: &mut D, name: &str| -> Result<D::Buffer, LoadError> {
            let weight = model.vector(&Model::layer_name(layer, name), hidden)?;
            let mut buffer = device.buffer(1, hidden)?;
            device.write(&weight, &mut buffer);
            Ok(buffer)
        };
        let attention_norm = norm(device, names.attention_norm)?;
        let feed_forward_norm = norm(device, names.feed_forward_norm)?;
        let mut matrix = |name: &str, inputs, outputs| {
            let tensor = model.matrix(&Model::layer_name(layer, name), inputs, outputs)?;
            loading.weights(model, device, &tensor)
        };
        Ok(Self {
            attention_norm,
            query: matrix(names.query, hidden, config.query_width())?,
            key: matrix(names.key, hidden, config.kv_width())?,
            value: matrix(names.value, hidden, config.kv_width())?,
            attention_output: matrix(names.attention_output, config.query_width(), hidden)?,
            feed_forward_norm,
            gate: matrix(names.gate, hidden, feed_forward)?,
            up: matrix(names.up, hidden, feed_forward)?,
            down: matrix(names.down, feed_forward, hidden)?,
        })
    }
}
