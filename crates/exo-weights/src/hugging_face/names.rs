//! transformers' names of tensors in GGUF's.

use super::family::Family;

mod bert;

/// What a tensor of a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// These tensors: most are one, gpt-oss's gates and ups are two in one.
    Tensors(Vec<(String, Order)>),
    /// Nothing that text needs.
    Nothing,
    /// Unknown.
    Unknown,
}

/// In which order a tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Outputs as rows, as everywhere.
    Rows,
    /// A norm that multiplies by 1 + weight.
    NormPlusOne,
    /// A matrix for each expert, its inputs as rows; of `parts` outputs that take turns this is number `part`.
    Transposed { part: usize, parts: usize },
    /// A row for each expert, in which `parts` kinds of numbers take turns.
    Turns { part: usize, parts: usize },
    /// Blocks of MXFP4 with outputs as rows, of which `parts` kinds take turns; scales stand in a tensor of their own.
    Mxfp4 { part: usize, parts: usize },
}

/// Names within a layer that all families share.
const OF_LAYER: [(&str, &str); 15] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.router", "ffn_gate_inp"),
    ("block_sparse_moe.gate", "ffn_gate_inp"),
];

/// What a tensor of that name is. `is_tied` says that there is no head of its own.
pub(super) fn meaning(family: &Family, is_tied: bool, name: &str) -> Meaning {
    if family.is_encoder {
        return bert::meaning(name);
    }
    let name = text_part(name);
    if name.contains("vision_tower.")
        || name.contains("multi_modal_projector.")
        || name.ends_with("rotary_emb.inv_freq")
    {
        return Meaning::Nothing;
    }
    let norm = if family.adds_one_to_norms { Order::NormPlusOne } else { Order::Rows };
    match name.as_str() {
        "model.embed_tokens.weight" => return one("token_embd.weight".to_owned(), Order::Rows),
        "model.norm.weight" => return one("output_norm.weight".to_owned(), norm),
        // Some files have the embedding a second time.
        "lm_head.weight" if is_tied => return Meaning::Nothing,
        "lm_head.weight" => return one("output.weight".to_owned(), Order::Rows),
        _ => {}
    }
    let of_layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let Some((layer, rest)) = of_layer.filter(|(layer, _)| layer.parse::<u16>().is_ok()) else {
        return Meaning::Unknown;
    };
    let named = |name: &str| format!("blk.{layer}.{name}");
    if let Some(experts) = rest.strip_prefix("mlp.experts.").filter(|_| family.model_type == "gpt_oss") {
        return gpt_oss_experts(experts, named);
    }
    if rest == "self_attn.sinks" {
        return one(named("attn_sinks.weight"), Order::Rows);
    }
    let Some((stem, kind @ ("weight" | "bias"))) = rest.rsplit_once('.') else { return Meaning::Unknown };
    if let Some((expert, matrix)) = expert(stem) {
        return one(named(&format!("{matrix}.{expert}.{kind}")), Order::Rows);
    }
    let Some(&(_, ours)) = family.norms.iter().chain(&OF_LAYER).find(|(theirs, _)| *theirs == stem) else {
        return Meaning::Unknown;
    };
    one(named(&format!("{ours}.{kind}")), if ours.ends_with("_norm") { norm } else { Order::Rows })
}

fn one(name: String, order: Order) -> Meaning {
    Meaning::Tensors(vec![(name, order)])
}

/// The name without the prefixes of models that have an eye too, and with the one that models for embeddings leave out.
fn text_part(name: &str) -> String {
    if ["layers.", "embed_tokens.", "norm."].iter().any(|start| name.starts_with(start)) {
        return format!("model.{name}");
    }
    match name.strip_prefix("model.language_model.") {
        Some(rest) => format!("model.{rest}"),
        None => name.strip_prefix("language_model.").unwrap_or(name).to_owned(),
    }
}

/// Number and matrix of one expert: `mlp.experts.3.up_proj`, or `block_sparse_moe.experts.3.w3`.
fn expert(stem: &str) -> Option<(u16, &'static str)> {
    let rest = stem.strip_prefix("mlp.experts.").or_else(|| stem.strip_prefix("block_sparse_moe.experts."))?;
    let (expert, matrix) = rest.split_once('.')?;
    let matrix = match matrix {
        "gate_proj" | "w1" => "ffn_gate",
        "up_proj" | "w3" => "ffn_up",
        "down_proj" | "w2" => "ffn_down",
        _ => return None,
    };
    Some((expert.parse().ok()?, matrix))
}

/// gpt-oss keeps all experts of a layer in one tensor.
fn gpt_oss_experts(rest: &str, named: impl Fn(&str) -> String) -> Meaning {
    let tensors = |kind: &str, down: bool, order: fn(usize, usize) -> Order| {
        let tensor = |name: &str, part, parts| (named(&format!("{name}.{kind}")), order(part, parts));
        Meaning::Tensors(match down {
            true => vec![tensor("ffn_down_exps", 0, 1)],
            false => vec![tensor("ffn_gate_exps", 0, 2), tensor("ffn_up_exps", 1, 2)],
        })
    };
    let (matrix, kind) = match rest.strip_prefix("gate_up_proj") {
        Some(kind) => (false, kind),
        None => match rest.strip_prefix("down_proj") {
            Some(kind) => (true, kind),
            None => return Meaning::Unknown,
        },
    };
    match kind {
        "" => tensors("weight", matrix, |part, parts| Order::Transposed { part, parts }),
        "_bias" => tensors("bias", matrix, |part, parts| Order::Turns { part, parts }),
        "_blocks" => tensors("weight", matrix, |part, parts| Order::Mxfp4 { part, parts }),
        // Read with their blocks.
        "_scales" => Meaning::Nothing,
        _ => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hugging_face::family::family;

    #[track_caller]
    fn check(model_type: &str, name: &str, expect: &[(&str, Order)]) {
        let expect = expect.iter().map(|(name, order)| ((*name).to_owned(), *order)).collect();
        let found = meaning(family(model_type).expect("known"), false, name);
        assert_eq!(found, Meaning::Tensors(expect), "{name}");
    }

    #[test]
    fn names_follow_the_family() {
        check("llama", "model.layers.3.self_attn.q_proj.weight", &[("blk.3.attn_q.weight", Order::Rows)]);
        check("llama", "model.layers.3.post_attention_layernorm.weight", &[("blk.3.ffn_norm.weight", Order::Rows)]);
        let norm = [("blk.0.post_attention_norm.weight", Order::NormPlusOne)];
        check("gemma2", "model.layers.0.post_attention_layernorm.weight", &norm);
        check("gemma3", "language_model.model.layers.0.post_attention_layernorm.weight", &norm);
        check("gemma3", "model.language_model.norm.weight", &[("output_norm.weight", Order::NormPlusOne)]);
        let expert = [("blk.1.ffn_up.7.weight", Order::Rows)];
        check("qwen3_moe", "model.layers.1.mlp.experts.7.up_proj.weight", &expert);
        check("mixtral", "model.layers.1.block_sparse_moe.experts.7.w3.weight", &expert);
        check("qwen3", "layers.3.self_attn.q_norm.weight", &[("blk.3.attn_q_norm.weight", Order::Rows)]);
        check("phi3", "model.layers.1.mlp.gate_up_proj.weight", &[("blk.1.ffn_up.weight", Order::Rows)]);
    }

    #[test]
    fn gates_and_ups_of_gpt_oss_take_turns() {
        let both = |kind: &str, order: fn(usize) -> Order| {
            ["gate", "up"].map(|name| format!("blk.2.ffn_{name}_exps.{kind}")).into_iter().zip([order(0), order(1)])
        };
        let check_both = |theirs: &str, kind: &str, order: fn(usize) -> Order| {
            let expect: Vec<_> = both(kind, order).collect();
            let expect: Vec<_> = expect.iter().map(|(name, order)| (name.as_str(), *order)).collect();
            check("gpt_oss", &format!("model.layers.2.mlp.experts.gate_up_proj{theirs}"), &expect);
        };
        check_both("", "weight", |part| Order::Transposed { part, parts: 2 });
        check_both("_bias", "bias", |part| Order::Turns { part, parts: 2 });
        check_both("_blocks", "weight", |part| Order::Mxfp4 { part, parts: 2 });
    }

    #[test]
    fn strangers_are_known_as_such() {
        let meaning = |name| meaning(family("llama").expect("known"), true, name);
        for name in ["model.layers.x.input_layernorm.weight", "model.layers.0.self_attn.bias", "adapter.weight", ""] {
            assert_eq!(meaning(name), Meaning::Unknown, "{name}");
        }
        for name in ["lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"] {
            assert_eq!(meaning(name), Meaning::Nothing, "{name}");
        }
    }
}
