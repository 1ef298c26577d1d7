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
        device.rms_norm(&buffers.hidden, &layer.norm, epsilon, &mut buffers.normed);
        let products =
            [(&layer.query, &mut buffers.query), (&layer.key, &mut buffers.key), (&layer.value, &mut buffers.value)];
        project(device, &buffers.normed, products);
        for (heads, norm) in [(&mut buffers.query, &layer.query_norm), (&mut buffers.key, &layer.key_norm)] {
            if let Some(norm) = norm {
                device.rms_norm_in_place(heads, norm, epsilon);
            }
        }
        let window = config.window_of(self.first_layer + index);
        let rotation = self.window_rotation.as_ref().filter(|_| window.is_some()).unwrap_or(&self.rotation);
        let (scale, soft_cap) = (config.attention_scale, config.attention_soft_cap);
        let rule = AttentionRule { scale, soft_cap, window, sinks: layer.sinks.as_ref() };
        let heads = Heads { query: &mut buffers.query, key: &mut buffers.key, value: &buffers.value };
        device.attend(spans, rotation, &rule, heads, &mut self.caches[index], &mut buffers.attended);
        let post_norm = layer.post_norm.as_ref();
        let branch = Branch { post_norm, epsilon, answer: &mut buffers.branch, hidden: &mut buffers.hidden };
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
        let post_norm = layer.post_norm.as_ref();
        device.rms_norm(&buffers.hidden, &layer.norm, epsilon, &mut buffers.normed);
        match &layer.network {
            Network::Dense(network) => {
                let products = [(&network.gate, &mut buffers.gate), (&network.up, &mut buffers.up)];
                project(device, &buffers.normed, products);
                device.gate(config.activation, &mut buffers.gate, &buffers.up);
                let branch = Branch { post_norm, epsilon, answer: &mut buffers.branch, hidden: &mut buffers.hidden };
                let (Some(sharing), Some(shared)) = (&mut sharing, &mut buffers.shared) else {
                    branch.add_product(device, &buffers.gate, &network.down);
                    return Ok(());
                };
                sharing.all(device, Kind::FeedForward, rows, &buffers.gate, &mut shared.gate)?;
                branch.add_shared_product(device, &shared.gate, &network.down, &mut shared.own, sharing)
            }
            Network::Experts(experts) => {
                match &mut sharing {
                    Some(sharing) => ask_shared_experts(device, experts, config.activation, buffers, sharing)?,
                    None => ask_experts(device, experts, config.activation, rows, buffers),
                }
                let branch = Branch { post_norm, epsilon, answer: &mut buffers.branch, hidden: &mut buffers.hidden };
                branch.add_answer(device);
                Ok(())
            }
        }
    }
}
