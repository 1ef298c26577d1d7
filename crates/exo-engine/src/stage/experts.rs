//! Feed-forward networks of which each row uses some.

use super::{buffers::Buffers, layer::Experts, linear::project, routing::route};
use crate::{config::Activation, device::Device};

/// Leaves in `buffers.branch` what the experts make of the `rows` of `buffers.normed`.
///
/// A row's answers are added in the order of the experts, so that the other rows do not change a bit of it.
pub(super) fn ask_experts<D: Device>(
    device: &mut D,
    experts: &Experts<D>,
    activation: Activation,
    rows: usize,
    buffers: &mut Buffers<D>,
) {
    let Buffers { normed, branch, gate, up, experts: Some(room), .. } = buffers else {
        unreachable!("a model with experts has their buffers");
    };
    project(device, normed, [(&experts.router, &mut room.scores)]);
    let mut scores = vec![0.0; rows * experts.rule.count];
    device.read(&room.scores, &mut scores);
    device.clear(rows, branch);
    let routes = route(&scores, &experts.rule);
    for (network, chosen) in experts.networks.iter().zip(routes).filter(|(_, chosen)| !chosen.rows.is_empty()) {
        device.gather(normed, &chosen.rows, &mut room.input);
        project(device, &room.input, [(&network.gate, &mut *gate), (&network.up, &mut *up)]);
        device.gate(activation, gate, up);
        project(device, gate, [(&network.down, &mut room.output)]);
        device.scatter_add(&room.output, &chosen.rows, &chosen.weights, branch);
    }
}
