//! One record for each model type of transformers: the architecture that it is, and what holds where its configuration
//! says nothing.

/// What tells a model type from Llama.
#[derive(Debug)]
pub(super) struct Family {
    /// `model_type` in `config.json`.
    pub(super) model_type: &'static str,
    /// Its name in GGUF files.
    pub(super) architecture: &'static str,
    /// Every token sees the whole text, and there is no head.
    pub(super) is_encoder: bool,
    /// The only activation that it is computed with.
    pub(super) activation: &'static str,
    /// Norms multiply by 1 + weight.
    pub(super) adds_one_to_norms: bool,
    /// Whether the embedding is the head too.
    pub(super) is_tied: bool,
    /// Where it is not the hidden width over the heads.
    pub(super) head_width: Option<u32>,
    pub(super) rope_base: f32,
    pub(super) norm_epsilon: f32,
    /// Keys of the number of experts and of their width.
    pub(super) experts: Option<(&'static str, &'static str)>,
    pub(super) windows: Windows,
    /// transformers' names of a layer's norms after the first, with GGUF's.
    pub(super) norms: &'static [(&'static str, &'static str)],
}

/// Layers that see the last positions only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    /// None, as this engine computes them.
    None,
    /// All.
    All,
    /// All but each last of so many, unless the configuration has another number.
    AllButOneOf(u32),
}

const NORMS: [(&str, &str); 1] = [("post_attention_layernorm", "ffn_norm")];
const GEMMA_NORMS: [(&str, &str); 3] = [
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
];

const LLAMA: Family = Family {
    model_type: "llama",
    architecture: "llama",
    is_encoder: false,
    activation: "silu",
    adds_one_to_norms: false,
    is_tied: false,
    head_width: None,
    rope_base: 10_000.0,
    norm_epsilon: 1e-6,
    experts: None,
    windows: Windows::None,
    norms: &NORMS,
};
const QWEN3: Family = Family { model_type: "qwen3", architecture: "qwen3", head_width: Some(128), ..LLAMA };
const GEMMA2: Family = Family {
    model_type: "gemma2",
    architecture: "gemma2",
    activation: "gelu_pytorch_tanh",
    adds_one_to_norms: true,
    is_tied: true,
    head_width: Some(256),
    windows: Windows::AllButOneOf(2),
    norms: &GEMMA_NORMS,
    ..LLAMA
};
const GEMMA3: Family = Family {
    model_type: "gemma3_text",
    architecture: "gemma3",
    rope_base: 1_000_000.0,
    windows: Windows::AllButOneOf(6),
    ..GEMMA2
};

const ALL: [Family; 12] = [
    LLAMA,
    Family { model_type: "mistral", architecture: "mistral", windows: Windows::All, ..LLAMA },
    Family {
        model_type: "mixtral",
        rope_base: 1_000_000.0,
        experts: Some(("num_local_experts", "intermediate_size")),
        ..LLAMA
    },
    Family { model_type: "qwen2", architecture: "qwen2", ..LLAMA },
    QWEN3,
    Family {
        model_type: "qwen3_moe",
        architecture: "qwen3moe",
        head_width: None,
        experts: Some(("num_experts", "moe_intermediate_size")),
        ..QWEN3
    },
    GEMMA2,
    GEMMA3,
    // The same with an eye, which is passed over.
    Family { model_type: "gemma3", ..GEMMA3 },
    Family { model_type: "phi3", architecture: "phi3", ..LLAMA },
    Family {
        model_type: "gpt_oss",
        architecture: "gpt-oss",
        head_width: Some(64),
        rope_base: 150_000.0,
        norm_epsilon: 1e-5,
        experts: Some(("num_local_experts", "intermediate_size")),
        windows: Windows::AllButOneOf(2),
        norms: &[("post_attention_layernorm", "post_attention_norm")],
        ..LLAMA
    },
    Family {
        model_type: "bert",
        architecture: "bert",
        is_encoder: true,
        activation: "gelu",
        norm_epsilon: 1e-12,
        norms: &[],
        ..LLAMA
    },
];

/// The family of that model type.
pub(super) fn family(model_type: &str) -> Option<&'static Family> {
    const FAMILIES: &[Family] = &ALL;
    FAMILIES.iter().find(|family| family.model_type == model_type)
}

/// All model types, for an error.
pub(super) fn model_types() -> String {
    ALL.map(|family| family.model_type).join(", ")
}
