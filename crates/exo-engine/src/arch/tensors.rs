//! Names of tensors, and which of them an architecture has.

use std::collections::BTreeSet;

use super::Architecture;

/// Rows of hidden states, one for each token; the head too where there is no other.
pub(crate) const EMBEDDING: &str = "token_embd.weight";
/// Rows of hidden states, one for each position.
pub(crate) const POSITIONS: &str = "position_embd.weight";
/// The same, one for each type of token.
pub(crate) const TYPES: &str = "token_types.weight";
/// The norm behind the embeddings.
pub(crate) const EMBEDDING_NORM: &str = "token_embd_norm";
/// The norm where the attention has joined the hidden states, and where the feed-forward network has.
pub(crate) const NORMS_AFTER: [&str; 2] = ["attn_output_norm", "layer_output_norm"];
/// The norm before the head.
pub(crate) const OUTPUT_NORM: &str = "output_norm.weight";
/// Missing where the embedding serves as head too.
pub(crate) const OUTPUT: &str = "output.weight";
/// Divisors of the rotary frequencies; optional.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";
/// The same for sequences up to, and beyond, what the model was first trained for.
pub(crate) const ROPE_FACTORS_SHORT: &str = "rope_factors_short.weight";
pub(crate) const ROPE_FACTORS_LONG: &str = "rope_factors_long.weight";

/// Full name of a tensor of a layer.
pub(crate) fn layer_tensor(layer: usize, name: &str) -> String {
    format!("blk.{layer}.{name}")
}

/// Layer and rest of the name of a layer's tensor.
pub(crate) fn layer_of(name: &str) -> Option<(usize, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, rest))
}

/// Name of one expert's own tensor, where that of all is `name`: `blk.0.ffn_up_exps.weight` and 7 make
/// `blk.0.ffn_up.7.weight`. So early GGUF files have it, and so Hugging Face directories are read.
pub(crate) fn expert_tensor(name: &str, expert: usize) -> String {
    name.replace("_exps.", &format!(".{expert}."))
}

/// `ffn_up_exps.weight` out of `ffn_up.7.weight`.
fn of_all_experts(name: &str) -> Option<String> {
    let (matrix, rest) = name.split_once('.')?;
    let (expert, kind) = rest.split_once('.')?;
    expert.parse::<u16>().ok().map(|_| format!("{matrix}_exps.{kind}"))
}

/// The names that files of an architecture have.
#[derive(Debug)]
pub(crate) struct TensorNames {
    layers: usize,
    of_layer: BTreeSet<String>,
    of_model: BTreeSet<String>,
}

impl TensorNames {
    /// For a model of `layers` layers.
    pub(crate) fn new(architecture: &Architecture, layers: usize, has_experts: bool) -> Self {
        let mut of_layer = BTreeSet::new();
        let mut add = |name: &str, has_bias: bool| {
            of_layer.insert(format!("{name}.weight"));
            if has_bias {
                of_layer.insert(format!("{name}.bias"));
            }
        };
        match architecture.norms_after {
            true => NORMS_AFTER.iter().for_each(|name| add(name, true)),
            false => ["attn_norm", architecture.feed_forward_norm].iter().for_each(|name| add(name, false)),
        }
        add("attn_output", architecture.output_biases);
        match architecture.fused {
            true => add("attn_qkv", architecture.input_biases),
            false => ["attn_q", "attn_k", "attn_v"].iter().for_each(|name| add(name, architecture.input_biases)),
        }
        if architecture.head_norms {
            ["attn_q_norm", "attn_k_norm"].iter().for_each(|name| add(name, false));
        }
        if architecture.post_norms {
            ["post_attention_norm", "post_ffw_norm"].iter().for_each(|name| add(name, false));
        }
        if architecture.sinks {
            add("attn_sinks", false);
        }
        match (has_experts, architecture.fused) {
            (true, _) => ["ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"]
                .iter()
                .for_each(|name| add(name, architecture.output_biases)),
            (false, true) => ["ffn_up", "ffn_down"].iter().for_each(|name| add(name, false)),
            (false, false) => {
                let gate = architecture.gated.then_some("ffn_gate");
                gate.into_iter().chain(["ffn_up", "ffn_down"]).for_each(|name| add(name, architecture.output_biases));
            }
        }
        Self { layers, of_layer, of_model: of_model(architecture) }
    }

    /// Whether a tensor of that name is expected. Another one would change the results, so it is refused.
    pub(crate) fn knows(&self, name: &str) -> bool {
        match layer_of(name) {
            Some((layer, name)) => {
                let is_of_layer = self.of_layer.contains(name);
                let is_of_expert = || of_all_experts(name).is_some_and(|name| self.of_layer.contains(&name));
                layer < self.layers && (is_of_layer || is_of_expert())
            }
            None => self.of_model.contains(name),
        }
    }
}

/// Names of tensors of no layer.
fn of_model(architecture: &Architecture) -> BTreeSet<String> {
    let mut names = vec![EMBEDDING];
    match architecture.learned_positions {
        true => names.extend([POSITIONS, TYPES]),
        false => names.extend([ROPE_FACTORS, ROPE_FACTORS_SHORT, ROPE_FACTORS_LONG]),
    }
    if !architecture.is_encoder {
        names.extend([OUTPUT_NORM, OUTPUT]);
    }
    let of_norm = architecture.norms_after.then(|| ["weight", "bias"].map(|kind| format!("{EMBEDDING_NORM}.{kind}")));
    names.into_iter().map(str::to_owned).chain(of_norm.into_iter().flatten()).collect()
}
