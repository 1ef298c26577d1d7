//! Names and orders of transformers.

use super::HfTensor;
use crate::model::{Architecture, ModelSpec};

/// A tensor of a GGUF file (`shape` has the fastest dimension first) as the tensors that it is in a directory; none for
/// those that stand in the configuration there.
pub(super) fn translate(spec: &ModelSpec, name: &str, shape: &[usize], values: Vec<f32>) -> Vec<HfTensor> {
    let one =
        |name: String, values: Vec<f32>| vec![HfTensor { name, shape: shape.iter().rev().copied().collect(), values }];
    if spec.architecture.is_encoder() {
        return one(encoder_name(name), values);
    }
    match name {
        "token_embd.weight" => return one("model.embed_tokens.weight".into(), values),
        "output_norm.weight" => return one("model.norm.weight".into(), norm(spec, values)),
        "output.weight" => return one("lm_head.weight".into(), values),
        _ => {}
    }
    let Some((layer, rest)) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        return Vec::new();
    };
    let Some((stem, kind)) = rest.rsplit_once('.') else { return Vec::new() };
    let layer = format!("model.layers.{layer}");
    if stem.ends_with("_exps") {
        return match spec.architecture {
            Architecture::GptOss => gpt_oss_experts(&layer, stem, kind, shape, values),
            architecture => each_expert(architecture, &layer, stem, shape, &values),
        };
    }
    let values = match stem {
        "attn_q" if spec.architecture == Architecture::Llama => halves(values, spec.heads, spec.head_width),
        "attn_k" if spec.architecture == Architecture::Llama => halves(values, spec.kv_heads, spec.head_width),
        _ if stem.ends_with("norm") => norm(spec, values),
        _ => values,
    };
    let suffix = if stem == "attn_sinks" { String::new() } else { format!(".{kind}") };
    one(format!("{layer}.{}{suffix}", layer_name(spec.architecture, stem)), values)
}

/// BERT has names for its own, and no order.
fn encoder_name(name: &str) -> String {
    let (stem, kind) = name.rsplit_once('.').expect("weight or bias");
    let (layer, stem) = match stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, stem)) => (format!("encoder.layer.{layer}."), stem),
        None => ("embeddings.".to_owned(), stem),
    };
    let theirs = match stem {
        "token_embd" => "word_embeddings",
        "position_embd" => "position_embeddings",
        "token_types" => "token_type_embeddings",
        "token_embd_norm" => "LayerNorm",
        "attn_q" => "attention.self.query",
        "attn_k" => "attention.self.key",
        "attn_v" => "attention.self.value",
        "attn_output" => "attention.output.dense",
        "attn_output_norm" => "attention.output.LayerNorm",
        "ffn_up" => "intermediate.dense",
        "ffn_down" => "output.dense",
        "layer_output_norm" => "output.LayerNorm",
        other => unreachable!("no encoder has {other}"),
    };
    format!("{layer}{theirs}.{kind}")
}

fn layer_name(architecture: Architecture, stem: &str) -> &'static str {
    match stem {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_qkv" => "self_attn.qkv_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_sinks" => "self_attn.sinks",
        "ffn_norm" if architecture.is_gemma() => "pre_feedforward_layernorm",
        "ffn_norm" | "post_attention_norm" => "post_attention_layernorm",
        "post_ffw_norm" => "post_feedforward_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" if architecture.is_fused() => "mlp.gate_up_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        "ffn_gate_inp" if architecture == Architecture::GptOss => "mlp.router",
        "ffn_gate_inp" if architecture == Architecture::Llama => "block_sparse_moe.gate",
        "ffn_gate_inp" => "mlp.gate",
        other => unreachable!("no architecture has {other}"),
    }
}

/// Gemma's norms multiply by 1 + weight.
fn norm(spec: &ModelSpec, mut values: Vec<f32>) -> Vec<f32> {
    if spec.architecture.is_gemma() {
        values.iter_mut().for_each(|value| *value -= 1.0);
    }
    values
}

/// Rows of each head from pairs of neighbours to two halves.
fn halves(values: Vec<f32>, heads: usize, head_width: usize) -> Vec<f32> {
    let width = values.len() / (heads * head_width);
    let row = |head: usize, row: usize| &values[(head * head_width + row) * width..][..width];
    let rows = |head: usize| (0..2).flat_map(move |side| (0..head_width / 2).map(move |pair| (head, 2 * pair + side)));
    (0..heads).flat_map(rows).flat_map(|(head, index)| row(head, index).iter().copied()).collect()
}

/// One tensor for each expert.
fn each_expert(architecture: Architecture, layer: &str, stem: &str, shape: &[usize], values: &[f32]) -> Vec<HfTensor> {
    let is_mixtral = architecture == Architecture::Llama;
    let block = if is_mixtral { "block_sparse_moe" } else { "mlp" };
    let name = match stem {
        "ffn_gate_exps" if is_mixtral => "w1",
        "ffn_up_exps" if is_mixtral => "w3",
        _ if is_mixtral => "w2",
        "ffn_gate_exps" => "gate_proj",
        "ffn_up_exps" => "up_proj",
        _ => "down_proj",
    };
    let expert = |(index, values): (usize, &[f32])| HfTensor {
        name: format!("{layer}.{block}.experts.{index}.{name}.weight"),
        shape: vec![shape[1], shape[0]],
        values: values.to_vec(),
    };
    values.chunks_exact(shape[0] * shape[1]).enumerate().map(expert).collect()
}

/// gpt-oss keeps experts with inputs as rows, and gate and up as neighbours in one tensor: the halves of that tensor are
/// told apart here, and put together by [`join_gate_and_up`].
fn gpt_oss_experts(layer: &str, stem: &str, kind: &str, shape: &[usize], values: Vec<f32>) -> Vec<HfTensor> {
    let part = match stem {
        "ffn_gate_exps" => "gate",
        "ffn_up_exps" => "up",
        _ => "down_proj",
    };
    let bias = if kind == "bias" { "_bias" } else { "" };
    let (values, shape) = match shape {
        [inputs, outputs, count] => (transposed(&values, *inputs, *outputs), vec![*count, *inputs, *outputs]),
        _ => (values, shape.iter().rev().copied().collect()),
    };
    vec![HfTensor { name: format!("{layer}.mlp.experts.{part}{bias}"), shape, values }]
}

/// Each matrix of `outputs` rows with its rows as columns.
fn transposed(values: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let matrices = values.chunks_exact(inputs * outputs);
    matrices
        .flat_map(|matrix| (0..inputs * outputs).map(move |at| matrix[at % outputs * inputs + at / outputs]))
        .collect()
}

/// Puts gpt-oss's gates and ups together, neighbour by neighbour.
pub(super) fn join_gate_and_up(tensors: Vec<HfTensor>) -> Vec<HfTensor> {
    let mut joined: Vec<HfTensor> = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let other = tensor.name.contains(".experts.up").then(|| tensor.name.replace(".experts.up", ".experts.gate"));
        let gate = other.and_then(|name| joined.iter().position(|gate| gate.name == name));
        match gate.map(|index| &mut joined[index]) {
            Some(gate) => {
                gate.name = gate.name.replace(".experts.gate", ".experts.gate_up_proj");
                gate.shape.last_mut().into_iter().for_each(|width| *width *= 2);
                let pairs = gate.values.iter().zip(&tensor.values);
                gate.values = pairs.flat_map(|(&gate, &up)| [gate, up]).collect();
            }
            None => joined.push(tensor),
        }
    }
    joined
}
