//! Products with a bias.

use crate::device::Device;

/// A matrix, and what is added to its products.
pub(super) struct Linear<D: Device> {
    pub(super) weights: D::Weights,
    pub(super) bias: Option<D::Buffer>,
}

/// Multiplies the rows of `x` with each matrix in one pass, and adds the biases.
pub(super) fn project<D: Device, const N: usize>(
    device: &mut D,
    x: &D::Buffer,
    mut linears: [(&Linear<D>, &mut D::Buffer); N],
) {
    device.products(x, linears.each_mut().map(|(linear, out)| (&linear.weights, &mut **out)));
    for (linear, out) in linears {
        if let Some(bias) = &linear.bias {
            device.add_to_rows(out, bias);
        }
    }
}
