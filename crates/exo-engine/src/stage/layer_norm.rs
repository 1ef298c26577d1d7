//! The norm of encoders.

use crate::{device::Device, load_error::LoadError, model::Model};

/// A norm that takes the mean away, with weights and biases.
pub(crate) struct LayerNorm<D: Device> {
    weight: D::Buffer,
    bias: D::Buffer,
    epsilon: f32,
}

impl<D: Device> LayerNorm<D> {
    /// Of the tensors `name`.weight and `name`.bias.
    pub(crate) fn load(model: &Model, device: &mut D, name: &str) -> Result<Self, LoadError> {
        let width = model.config.hidden;
        let mut read = |kind: &str| {
            let values = model.vector(&format!("{name}.{kind}"), width)?;
            let mut row = device.buffer(1, width)?;
            device.write(&values, &mut row);
            Ok::<_, LoadError>(row)
        };
        Ok(Self { weight: read("weight")?, bias: read("bias")?, epsilon: model.config.norm_epsilon })
    }

    /// Normalises the rows of `x`.
    pub(crate) fn apply(&self, device: &mut D, x: &mut D::Buffer) {
        device.layer_norm_in_place(x, &self.weight, &self.bias, self.epsilon);
    }
}
