//! The metadata of a generated model, as llama.cpp's conversion writes it.

use exo_gguf::{GgufWriter, Value};

use super::{Architecture, ModelSpec, ModelTokens, word_pieces::WordPieces};

/// Positions of the first training of models whose rotary frequencies are extended: a test's prompt is longer.
pub(super) const ORIGINAL_CONTEXT: usize = 32;
/// Extension of Gemma 3's positions.
pub(super) const LINEAR_FACTOR: f32 = 8.0;
/// Extension of gpt-oss's.
pub(super) const YARN_FACTOR: f32 = 4.0;
/// Gemma 2's caps.
pub(super) const ATTENTION_CAP: f32 = 50.0;
pub(super) const LOGIT_CAP: f32 = 30.0;

/// Types of tokens of an encoder: of the first of two texts, and of the second.
pub(super) const TOKEN_TYPES: usize = 2;
/// Under the root of an encoder's norms.
pub(super) const ENCODER_EPSILON: f32 = 1e-12;

/// Keys that begin with the architecture's name.
struct Keys<'a> {
    writer: &'a mut GgufWriter<'static>,
    architecture: Architecture,
}

impl Keys<'_> {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.writer.set(&format!("{}.{name}", self.architecture.name()), value);
    }

    fn number(&mut self, name: &str, value: usize) {
        self.set(name, u32::try_from(value).expect("shapes of generated models are small"));
    }
}

/// Sets all of it.
pub(super) fn set(spec: &ModelSpec, writer: &mut GgufWriter<'static>) {
    writer.set("general.architecture", spec.architecture.name()).set("general.name", "generated");
    let mut keys = Keys { writer, architecture: spec.architecture };
    set_shape(spec, &mut keys);
    set_peculiarities(spec, &mut keys);
    match spec.architecture.is_encoder() {
        true => WordPieces::new(spec.vocabulary).set_metadata(writer),
        false => ModelTokens::new(spec.vocabulary).set_metadata(writer),
    }
    if let Some(template) = &spec.chat_template {
        writer.set("tokenizer.chat_template", template.as_str());
    }
}

fn set_shape(spec: &ModelSpec, keys: &mut Keys<'_>) {
    for (name, value) in [
        ("block_count", spec.layers),
        ("context_length", spec.context),
        ("embedding_length", spec.hidden),
        ("feed_forward_length", spec.feed_forward),
        ("attention.head_count", spec.heads),
    ] {
        keys.number(name, value);
    }
    if spec.architecture.is_encoder() {
        keys.set("attention.layer_norm_epsilon", ENCODER_EPSILON);
        keys.set("attention.causal", false);
        keys.writer.set("tokenizer.ggml.token_type_count", TOKEN_TYPES as u32);
        return;
    }
    for (name, value) in [
        ("attention.head_count_kv", spec.kv_heads),
        ("attention.key_length", spec.head_width),
        ("attention.value_length", spec.head_width),
        ("rope.dimension_count", spec.head_width),
        ("vocab_size", spec.vocabulary),
    ] {
        keys.number(name, value);
    }
    keys.set("attention.layer_norm_rms_epsilon", 1e-5f32);
    keys.set("rope.freq_base", 10_000f32);
    if let Some((count, used)) = spec.experts {
        keys.number("expert_count", count);
        keys.number("expert_used_count", used);
        keys.number("expert_feed_forward_length", spec.feed_forward);
    }
    if let Some(window) = spec.architecture.window() {
        keys.number("attention.sliding_window", window);
    }
}

fn set_peculiarities(spec: &ModelSpec, keys: &mut Keys<'_>) {
    match spec.architecture {
        Architecture::Gemma2 => {
            keys.set("attn_logit_softcapping", ATTENTION_CAP);
            keys.set("final_logit_softcapping", LOGIT_CAP);
        }
        Architecture::Gemma3 => {
            keys.set("rope.scaling.type", "linear");
            keys.set("rope.scaling.factor", LINEAR_FACTOR);
        }
        Architecture::GptOss => {
            keys.set("rope.scaling.type", "yarn");
            keys.set("rope.scaling.factor", YARN_FACTOR);
            keys.number("rope.scaling.original_context_length", ORIGINAL_CONTEXT);
        }
        Architecture::Phi3 => {
            keys.number("rope.scaling.original_context_length", ORIGINAL_CONTEXT);
            keys.set("rope.scaling.attn_factor", longrope_magnitude(spec.context));
        }
        _ => {}
    }
}

/// How queries and keys of Phi 3 grow when its context is extended to `context`.
fn longrope_magnitude(context: usize) -> f32 {
    let (original, extended) = (ORIGINAL_CONTEXT as f64, context as f64);
    (1.0 + (extended / original).ln() / original.ln()).sqrt() as f32
}
