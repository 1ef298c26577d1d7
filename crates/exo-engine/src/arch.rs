//! The decoder families: a table of what tells one from the other.
//!
//! All share one forward pass (normalise, attend, normalise, feed forward); a family is a new file with its names and
//! choices, and a line in `FAMILIES`.

use crate::config::RopeLayout;

mod llama;

/// What a family's models have in common.
#[derive(Debug)]
pub(crate) struct Family {
    /// Name in `general.architecture`.
    pub(crate) name: &'static str,
    /// Pairing of dimensions in the rotary embedding.
    pub(crate) rope_layout: RopeLayout,
    /// Names of the tensors.
    pub(crate) tensors: ModelTensors,
}

/// Names of tensors that belong to no layer.
#[derive(Debug)]
pub(crate) struct ModelTensors {
    pub(crate) embedding: &'static str,
    pub(crate) output_norm: &'static str,
    /// Missing where the embedding serves as head too.
    pub(crate) output: &'static str,
    /// Divisors of the rotary frequencies; optional.
    pub(crate) rope_factors: &'static str,
    pub(crate) layer: LayerTensors,
}

/// Names of a layer's tensors, behind `blk.N.`.
#[derive(Debug)]
pub(crate) struct LayerTensors {
    pub(crate) attention_norm: &'static str,
    pub(crate) query: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    pub(crate) attention_output: &'static str,
    pub(crate) feed_forward_norm: &'static str,
    pub(crate) gate: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
}

const FAMILIES: [&Family; 1] = [&llama::FAMILY];

/// The family of that name.
pub(crate) fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.into_iter().find(|family| family.name == name)
}

/// All names, for an error.
pub(crate) fn names() -> String {
    FAMILIES.map(|family| family.name).join(", ")
}

impl ModelTensors {
    /// Whether the family knows a tensor of that name. Another one would change the results, so it is refused.
    pub(crate) fn knows(&self, name: &str, layers: usize) -> bool {
        match layer_of(name) {
            Some((layer, name)) => layer < layers && self.layer.all().contains(&name),
            None => [self.embedding, self.output_norm, self.output, self.rope_factors].contains(&name),
        }
    }
}

/// Layer and rest of the name of a layer's tensor.
pub(crate) fn layer_of(name: &str) -> Option<(usize, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, rest))
}

impl LayerTensors {
    fn all(&self) -> [&'static str; 9] {
        [
            self.attention_norm,
            self.query,
            self.key,
            self.value,
            self.attention_output,
            self.feed_forward_norm,
            self.gate,
            self.up,
            self.down,
        ]
    }
}
