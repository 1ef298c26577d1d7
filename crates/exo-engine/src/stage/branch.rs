//! Where a block's answer joins the hidden states.

use super::{
    StageError,
    layer_norm::LayerNorm,
    linear::{Linear, project},
    split::{Kind, Sharing},
};
use crate::device::Device;

/// The end of a block: its answer is added to the hidden states, and where the architecture does that, it is normalised
/// before, or they are afterwards.
pub(super) struct Branch<'a, D: Device> {
    pub(super) post_norm: Option<&'a D::Buffer>,
    pub(super) epsilon: f32,
    /// Normalises the hidden states afterwards.
    pub(super) norm_after: Option<&'a LayerNorm<D>>,
    /// The answer, where it is more than one product.
    pub(super) answer: &'a mut D::Buffer,
    pub(super) hidden: &'a mut D::Buffer,
}

impl<D: Device> Branch<'_, D> {
    /// Adds the product of `x`.
    pub(super) fn add_product(self, device: &mut D, x: &D::Buffer, linear: &Linear<D>) {
        if linear.bias.is_none() && self.post_norm.is_none() {
            device.add_product(x, &linear.weights, self.hidden);
            self.close(device);
            return;
        }
        project(device, x, [(linear, &mut *self.answer)]);
        self.add_answer(device);
    }

    /// The same where this rank has some outputs of the product; `own` is room for them.
    pub(super) fn add_shared_product(
        self,
        device: &mut D,
        x: &D::Buffer,
        linear: &Linear<D>,
        own: &mut D::Buffer,
        sharing: &mut Sharing<'_>,
    ) -> Result<(), StageError> {
        if linear.bias.is_none() && self.post_norm.is_none() {
            // Added as it is where nothing is shared, so that not even a rounding differs.
            device.columns(self.hidden, sharing.split.rows(Kind::Hidden), own);
            device.add_product(x, &linear.weights, own);
            sharing.all(device, Kind::Hidden, sharing.rows, own, self.hidden)?;
            self.close(device);
            return Ok(());
        }
        project(device, x, [(linear, &mut *own)]);
        sharing.all(device, Kind::Hidden, sharing.rows, own, self.answer)?;
        self.add_answer(device);
        Ok(())
    }

    /// Adds what stands in `answer`.
    pub(super) fn add_answer(self, device: &mut D) {
        if let Some(norm) = self.post_norm {
            device.rms_norm_in_place(self.answer, norm, self.epsilon);
        }
        device.add(self.hidden, self.answer);
        self.close(device);
    }

    fn close(self, device: &mut D) {
        if let Some(norm) = self.norm_after {
            norm.apply(device, self.hidden);
        }
    }
}
