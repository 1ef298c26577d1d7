//! The names that BERT has for its own.

use super::{Meaning, Order, one};

/// Stems of no layer.
const OF_MODEL: [(&str, &str); 4] = [
    ("embeddings.word_embeddings", "token_embd"),
    ("embeddings.position_embeddings", "position_embd"),
    ("embeddings.token_type_embeddings", "token_types"),
    ("embeddings.LayerNorm", "token_embd_norm"),
];

/// Stems within a layer.
const OF_LAYER: [(&str, &str); 8] = [
    ("attention.self.query", "attn_q"),
    ("attention.self.key", "attn_k"),
    ("attention.self.value", "attn_v"),
    ("attention.output.dense", "attn_output"),
    ("attention.output.LayerNorm", "attn_output_norm"),
    ("intermediate.dense", "ffn_up"),
    ("output.dense", "ffn_down"),
    ("output.LayerNorm", "layer_output_norm"),
];

/// What a tensor of that name is. What was trained beside the encoder (the pooler, which guesses whether two texts belong
/// together, and the heads that guess words) is no part of a vector.
pub(super) fn meaning(name: &str) -> Meaning {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    if name.starts_with("pooler.") || name.starts_with("cls.") || name == "embeddings.position_ids" {
        return Meaning::Nothing;
    }
    let Some((stem, kind)) = name.rsplit_once('.') else { return Meaning::Unknown };
    let kind = match kind {
        "weight" | "bias" => kind,
        // Norms of the first files.
        "gamma" => "weight",
        "beta" => "bias",
        _ => return Meaning::Unknown,
    };
    let ours = match stem.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.')) {
        Some((layer, rest)) if layer.parse::<u16>().is_ok() => {
            OF_LAYER.iter().find(|(theirs, _)| *theirs == rest).map(|(_, ours)| format!("blk.{layer}.{ours}"))
        }
        _ => OF_MODEL.iter().find(|(theirs, _)| *theirs == stem).map(|(_, ours)| (*ours).to_owned()),
    };
    ours.map_or(Meaning::Unknown, |ours| one(format!("{ours}.{kind}"), Order::Rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_with_and_without_the_prefix() {
        let check = |name: &str, expect: &str| {
            assert_eq!(meaning(name), one(expect.to_owned(), Order::Rows), "{name}");
            assert_eq!(meaning(&format!("bert.{name}")), one(expect.to_owned(), Order::Rows), "{name}");
        };
        check("embeddings.word_embeddings.weight", "token_embd.weight");
        check("embeddings.LayerNorm.gamma", "token_embd_norm.weight");
        check("encoder.layer.3.attention.self.query.bias", "blk.3.attn_q.bias");
        check("encoder.layer.11.output.LayerNorm.beta", "blk.11.layer_output_norm.bias");
        for name in ["pooler.dense.weight", "bert.embeddings.position_ids", "cls.predictions.bias"] {
            assert_eq!(meaning(name), Meaning::Nothing, "{name}");
        }
        for name in
            ["encoder.layer.x.output.dense.weight", "encoder.layer.0.crossattention.self.key.weight", "bert", ""]
        {
            assert_eq!(meaning(name), Meaning::Unknown, "{name}");
        }
    }
}
