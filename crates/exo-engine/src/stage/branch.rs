//! Where a block's answer joins the hidden states.

use super::linear::{Linear, project};
use crate::device::Device;

/// The end of a block: its answer is normalised where the architecture does that, and added to the hidden states.
pub(super) struct Branch<'a, D: Device> {
    pub(super) post_norm: Option<&'a D::Buffer>,
    pub(super) epsilon: f32,
    /// The answer, where it is more than one product.
    pub(super) answer: &'a mut D::Buffer,
    pub(super) hidden: &'a mut D::Buffer,
}

impl<D: Device> Branch<'_, D> {
    /// Adds the product of `x`.
    pub(super) fn add_product(self, device: &mut D, x: &D::Buffer, linear: &Linear<D>) {
        if linear.bias.is_none() && self.post_norm.is_none() {
            return device.add_product(x, &linear.weights, self.hidden);
        }
        project(device, x, [(linear, &mut *self.answer)]);
        self.add_answer(device);
    }

    /// Adds what stands in `answer`.
    pub(super) fn add_answer(self, device: &mut D) {
        if let Some(norm) = self.post_norm {
            device.rms_norm_in_place(self.answer, norm, self.epsilon);
        }
        device.add(self.hidden, self.answer);
    }
}
