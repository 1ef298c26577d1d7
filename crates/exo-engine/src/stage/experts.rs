//! Feed-forward networks of which each row uses some.

use super::{
    StageError,
    buffers::{Buffers, ExpertBuffers},
    layer::{Experts, Gated},
    linear::project,
    routing::{ExpertRows, route},
    split::{Kind, Sharing},
};
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
    let routes = routes(device, experts, rows, buffers);
    let Buffers { normed, branch, gate, up, experts: Some(room), .. } = buffers else { return };
    device.clear(rows, branch);
    for (network, chosen) in asked(experts, &routes) {
        open_gate(device, (network, chosen), activation, normed, room, (gate, up));
        project(device, gate, [(&network.down, &mut room.output)]);
        device.scatter_add(&room.output, &chosen.rows, &chosen.weights, branch);
    }
}

/// The same where ranks share every expert: what all experts are to bring down is put together at once.
pub(super) fn ask_shared_experts<D: Device>(
    device: &mut D,
    experts: &Experts<D>,
    activation: Activation,
    buffers: &mut Buffers<D>,
    sharing: &mut Sharing<'_>,
) -> Result<(), StageError> {
    let rows = sharing.rows;
    let routes = routes(device, experts, rows, buffers);
    let Buffers { normed, branch, gate, up, experts: Some(room), shared: Some(shared), .. } = buffers else {
        return Ok(());
    };
    let (mut opened, width) = (Vec::new(), sharing.split.rows(Kind::FeedForward).len());
    for (network, chosen) in asked(experts, &routes) {
        open_gate(device, (network, chosen), activation, normed, room, (gate, up));
        let start = opened.len();
        opened.resize(start + chosen.rows.len() * width, 0.0);
        device.read(gate, &mut opened[start..]);
    }
    let routed = routes.iter().map(|chosen| chosen.rows.len()).sum();
    device.write(&opened, &mut shared.experts_own);
    sharing.all(device, Kind::FeedForward, routed, &shared.experts_own, &mut shared.experts)?;
    device.clear(rows, &mut shared.own);
    let mut first = 0;
    for (network, chosen) in asked(experts, &routes) {
        let of_expert: Vec<usize> = (first..first + chosen.rows.len()).collect();
        first += of_expert.len();
        device.gather(&shared.experts, &of_expert, &mut shared.gate);
        project(device, &shared.gate, [(&network.down, &mut room.output)]);
        device.scatter_add(&room.output, &chosen.rows, &chosen.weights, &mut shared.own);
    }
    sharing.all(device, Kind::Hidden, rows, &shared.own, branch)
}

/// Which rows go to which expert.
fn routes<D: Device>(device: &mut D, experts: &Experts<D>, rows: usize, buffers: &mut Buffers<D>) -> Vec<ExpertRows> {
    let Buffers { normed, experts: Some(room), .. } = buffers else {
        unreachable!("a model with experts has their buffers");
    };
    project(device, normed, [(&experts.router, &mut room.scores)]);
    let mut scores = vec![0.0; rows * experts.rule.count];
    device.read(&room.scores, &mut scores);
    route(&scores, &experts.rule)
}

/// The experts that have rows.
fn asked<'a, D: Device>(
    experts: &'a Experts<D>,
    routes: &'a [ExpertRows],
) -> impl Iterator<Item = (&'a Gated<D>, &'a ExpertRows)> {
    experts.networks.iter().zip(routes).filter(|(_, chosen)| !chosen.rows.is_empty())
}

/// What an expert makes of its rows, before it is brought down to the width of hidden states: in `gate`.
fn open_gate<D: Device>(
    device: &mut D,
    (network, chosen): (&Gated<D>, &ExpertRows),
    activation: Activation,
    normed: &D::Buffer,
    room: &mut ExpertBuffers<D>,
    (gate, up): (&mut D::Buffer, &mut D::Buffer),
) {
    device.gather(normed, &chosen.rows, &mut room.input);
    project(device, &room.input, [(&network.gate, &mut *gate), (&network.up, &mut *up)]);
    device.gate(activation, gate, up);
}
