//! The forward pass of one layer, as its architecture's record says.

use super::{
    Stage, StageError,
    branch::Branch,
    experts::{ask_experts, ask_shared_experts},
    layer::Network,
    linear::project,
    sharing,
    split::Kind,
};
use crate::device::{AttentionRule, Device, Heads, Span};

impl<D: Device> Stage<D> {
    /// Adds to the hidden states what every row takes from its sequence.
    pub(super) fn attend(&mut self, index: usize, spans: &[Span], rows: usize) -> Result<(), StageError> {
        let Self { device, config, buffers, .. } = self;
        let (layer, epsilon) = (&self.layers[index].attention, config.norm_epsilon);
        let input = normed(device, layer.norm.as_ref(), epsilon, &buffers.hidden, &mut buffers.normed);
        let products =
            [(&layer.query, &mut buffers.query), (&layer.key, &mut buffers.key), (&layer.value, &mut buffers.value)];
        project(device, input, products);
        for (heads, norm) in [(&mut buffers.query, &layer.query_norm), (&mut buffers.key, &layer.key_norm)] {
            if let Some(norm) = norm {
                device.rms_norm_in_place(heads, norm, epsilon);
            }
        }
        let window = config.window_of(self.first_layer + index);
        let rotation = self.window_rotation.as_ref().filter(|_| window.is_some()).or(self.rotation.as_ref());
        let rule = AttentionRule {
            scale: config.attention_scale,
            soft_cap: config.attention_soft_cap,
            window,
            sinks: layer.sinks.as_ref(),
            sees_ahead: config.is_encoder,
        };
        let heads = Heads { query: &mut buffers.query, key: &mut buffers.key, value: &buffers.value };
        device.attend(spans, rotation, &rule, heads, &mut self.caches[index], &mut buffers.attended);
        let (post_norm, norm_after) = (layer.post_norm.as_ref(), layer.norm_after.as_ref());
        let (answer, hidden) = (&mut buffers.branch, &mut buffers.hidden);
        let branch = Branch { post_norm, epsilon, norm_after, answer, hidden };
        let (Some(mut sharing), Some(shared)) =
            (sharing(&self.split, &mut self.group, &mut self.room, rows), &mut buffers.shared)
        else {
            branch.add_product(device, &buffers.attended, &layer.output);
            return Ok(());
        };
        sharing.all(device, Kind::Attended, rows, &buffers.attended, &mut shared.attended)?;
        branch.add_shared_product(device, &shared.attended, &layer.output, &mut shared.own, &mut sharing)
    }

    /// Adds to the hidden states what every one of `rows` rows makes of itself.
    pub(super) fn feed_forward(&mut self, index: usize, rows: usize) -> Result<(), StageError> {
        let Self { device, config, buffers, .. } = self;
        let mut sharing = sharing(&self.split, &mut self.group, &mut self.room, rows);
        let (layer, epsilon) = (&self.layers[index].feed_forward, config.norm_epsilon);
        let input = normed(device, layer.norm.as_ref(), epsilon, &buffers.hidden, &mut buffers.normed);
        let down = match &layer.network {
            Network::Dense(network) => {
                let products = [(&network.gate, &mut buffers.gate), (&network.up, &mut buffers.up)];
                project(device, input, products);
                device.gate(config.activation, &mut buffers.gate, &buffers.up);
                Some(&network.down)
            }
            Network::Plain(network) => {
                project(device, input, [(&network.up, &mut buffers.gate)]);
                device.gelu(&mut buffers.gate);
                Some(&network.down)
            }
            Network::Experts(experts) => {
                match &mut sharing {
                    Some(sharing) => ask_shared_experts(device, experts, config.activation, buffers, sharing)?,
                    None => ask_experts(device, experts, config.activation, rows, buffers),
                }
                None
            }
        };
        let (post_norm, norm_after) = (layer.post_norm.as_ref(), layer.norm_after.as_ref());
        let (answer, hidden) = (&mut buffers.branch, &mut buffers.hidden);
        let branch = Branch { post_norm, epsilon, norm_after, answer, hidden };
        match (down, &mut sharing, &mut buffers.shared) {
            (None, ..) => branch.add_answer(device),
            (Some(down), Some(sharing), Some(shared)) => {
                sharing.all(device, Kind::FeedForward, rows, &buffers.gate, &mut shared.gate)?;
                branch.add_shared_product(device, &shared.gate, down, &mut shared.own, sharing)?;
            }
            (Some(down), ..) => branch.add_product(device, &buffers.gate, down),
        }
        Ok(())
    }
}

/// What a block reads: the hidden states, normalised where a norm stands before it.
fn normed<'a, D: Device>(
    device: &mut D,
    norm: Option<&D::Buffer>,
    epsilon: f32,
    hidden: &'a D::Buffer,
    normed: &'a mut D::Buffer,
) -> &'a D::Buffer {
    let Some(norm) = norm else { return hidden };
    device.rms_norm(hidden, norm, epsilon, normed);
    normed
}
