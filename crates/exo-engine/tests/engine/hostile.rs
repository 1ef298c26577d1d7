//! Files and options that lie.

use exo_engine::{Engine, EngineOptions, LoadError};
use exo_gguf::{GgmlType, GgufWriter};
use exo_testkit::{Architecture, ModelSpec, TemporaryModel};

use crate::support::{options, write};

fn load_with(model: &TemporaryModel, options: &EngineOptions) -> LoadError {
    Engine::load(&model.path(), options, &mut |_| {}).err().expect("refused")
}

/// Writes the default model with additions and loads it.
fn check(change: impl FnOnce(&mut GgufWriter<'static>), expect: &str) {
    check_spec(ModelSpec::default(), change, expect);
}

fn check_spec(spec: ModelSpec, change: impl FnOnce(&mut GgufWriter<'static>), expect: &str) {
    let model = write(&ModelSpec { layers: 1, ..ModelSpec::default() });
    let mut writer = spec.writer();
    change(&mut writer);
    writer.write(&model.path()).expect("writes");
    let error = load_with(&model, &options()).to_string();
    assert!(error.contains(expect), "{error:?} does not contain {expect:?}");
}

/// Writes the default model with another value of `key` and loads it.
fn rewrite(key: &str, value: impl Into<exo_gguf::Value>, expect: &str) {
    rewrite_spec(&spec(), key, value, expect);
}

fn rewrite_spec(spec: &ModelSpec, key: &str, value: impl Into<exo_gguf::Value>, expect: &str) {
    let model = write(spec);
    let file = exo_gguf::GgufFile::open(&model.path()).expect("valid");
    let mut writer = GgufWriter::new();
    for (name, old) in file.metadata().iter().filter(|(name, _)| *name != key) {
        writer.set(name, old.clone());
    }
    writer.set(key, value);
    for tensor in file.tensors() {
        writer.tensor(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
    }
    writer.write(&model.path()).expect("writes");
    let error = load_with(&model, &options()).to_string();
    assert!(error.contains(expect), "{error:?} does not contain {expect:?}");
}

fn spec() -> ModelSpec {
    ModelSpec::default()
}

#[test]
fn shapes_that_cannot_be_are_refused_by_name() {
    check_spec(ModelSpec { head_width: 24, ..spec() }, |_| {}, "24 wide");
    check_spec(ModelSpec { heads: 4, kv_heads: 3, ..spec() }, |_| {}, "4 query heads cannot share 3 key heads");
    check_spec(ModelSpec { hidden: 40, ..spec() }, |_| {}, "hidden width is 40");
    check_spec(ModelSpec { feed_forward: 100, ..spec() }, |_| {}, "feed-forward width is 100");
}

#[test]
fn tensors_that_the_family_does_not_have_are_refused_by_name() {
    let bias = vec![0u8; 4 * 128];
    check(|w| _ = w.tensor("blk.0.attn_q.bias", GgmlType::F32, &[128], bias), "blk.0.attn_q.bias");
    check(|w| _ = w.tensor("blk.9.attn_q.weight", GgmlType::F32, &[1], [0; 4]), "blk.9.attn_q.weight");
    check(|w| _ = w.tensor("rope_freqs.weight", GgmlType::F32, &[3], [0; 12]), "rope_freqs.weight has the shape [3]");
}

#[test]
fn another_architecture_scaling_or_tokenizer_is_refused_by_name() {
    rewrite("general.architecture", "mamba", "\"mamba\"");
    rewrite("llama.rope.scaling.type", "su", "\"su\"");
    rewrite("llama.rope.scaling.type", "yarn", "original_context_length");
    rewrite("tokenizer.ggml.model", "t5", "\"t5\"");
    rewrite("tokenizer.ggml.pre", "jina", "\"jina\"");
    rewrite("llama.block_count", "three", "llama.block_count");
    rewrite("tokenizer.chat_template", "{% if %}", "chat template is broken");
    rewrite("tokenizer.ggml.merges", "a b", "tokenizer.ggml.merges");
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    rewrite("llama.attention.head_count", 0u32, "head_count is 0");
    rewrite("llama.block_count", 4u32, "blk.3");
    rewrite("llama.block_count", 2u32, "blk.2");
    rewrite("llama.block_count", u32::MAX, "block_count is 4294967295");
    rewrite("llama.embedding_length", 96u32, "has the shape [128, 272], but the metadata asks for [96, 272]");
    rewrite("llama.rope.freq_base", f32::NAN, "freq_base is NaN");
    rewrite("llama.attention.layer_norm_rms_epsilon", -1f32, "epsilon is -1");
    rewrite("llama.rope.dimension_count", 31u32, "31 dimensions");
    rewrite("llama.rope.scaling.factor", f32::NAN, "scaling.factor is NaN");
    rewrite("tokenizer.ggml.eos_token_id", 5000u32, "eos token is 5000");
    rewrite("tokenizer.ggml.tokens", vec!["a".to_owned(); 3], "3 tokens");
}

/// Writes a small model of an architecture with another value of `key` and loads it.
fn rewrite_of(architecture: Architecture, key: &str, value: impl Into<exo_gguf::Value>, expect: &str) {
    rewrite_spec(&ModelSpec::of(architecture), key, value, expect);
}

#[test]
fn peculiarities_that_cannot_be_are_refused_by_name() {
    use Architecture::{Gemma2, Gemma3, GptOss, Qwen3Moe};
    rewrite_of(Qwen3Moe, "qwen3moe.expert_count", 0u32, "expert_count is 0");
    rewrite_of(Qwen3Moe, "qwen3moe.expert_count", 1u32, "uses 2 experts, but there are 1");
    rewrite_of(Qwen3Moe, "qwen3moe.expert_count", 5u32, "[128, 6], but the metadata asks for [128, 5]");
    rewrite_of(Qwen3Moe, "qwen3moe.expert_used_count", u32::MAX, "expert_used_count is 4294967295");
    rewrite_of(Qwen3Moe, "qwen3moe.expert_feed_forward_length", 64u32, "asks for [128, 64, 6]");
    rewrite_of(Gemma2, "gemma2.attn_logit_softcapping", f32::INFINITY, "softcapping is inf");
    rewrite_of(Gemma3, "gemma3.attention.sliding_window", u64::MAX, "sliding_window is 18446744073709552000");
    rewrite_of(GptOss, "gpt-oss.rope.scaling.original_context_length", 0u32, "original_context_length is 0");
}

#[test]
fn encoders_that_cannot_be_are_refused_by_name() {
    let check = |key: &str, value: exo_gguf::Value, expect: &str| rewrite_of(Architecture::Bert, key, value, expect);
    check(
        "bert.context_length",
        97u32.into(),
        "position_embd.weight has the shape [128, 96], but the metadata asks for [128, 97]",
    );
    check("tokenizer.ggml.token_type_count", 0u32.into(), "token_type_count is 0");
    check("tokenizer.ggml.token_type_count", 3u32.into(), "token_types.weight has the shape [128, 2]");
    check("tokenizer.ggml.cls_token_id", 5000u32.into(), "bos token is 5000");
    check("tokenizer.ggml.seperator_token_id", 5000u32.into(), "end with token 5000");
    check("bert.attention.layer_norm_epsilon", f32::NAN.into(), "epsilon is NaN");
    check("bert.attention.causal", true.into(), "bert.attention.causal is true");
    rewrite("llama.attention.causal", false, "llama.attention.causal is false");
}

#[test]
fn every_tensor_of_an_encoder_must_be_there_in_its_size() {
    let spec = ModelSpec { layers: 1, ..ModelSpec::of(Architecture::Bert) };
    let model = write(&spec);
    let file = exo_gguf::GgufFile::open(&model.path()).expect("valid");
    let changed = write(&spec);
    for spoiled in file.tensors() {
        for is_there in [false, true] {
            let mut writer = GgufWriter::new();
            for (key, value) in file.metadata().iter() {
                writer.set(key, value.clone());
            }
            for tensor in file.tensors().filter(|tensor| tensor.name != spoiled.name) {
                writer.tensor(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
            }
            if is_there {
                writer.tensor(spoiled.name, GgmlType::F32, &[32], [0; 128]);
            }
            writer.write(&changed.path()).expect("writes");
            let error = load_with(&changed, &options()).to_string();
            let expect =
                if is_there { format!("{} has the shape [32]", spoiled.name) } else { spoiled.name.to_owned() };
            assert!(error.contains(&expect), "{error:?} does not contain {expect:?}");
        }
    }
}

#[test]
fn options_and_memory_are_checked_before_anything_is_loaded() {
    let model = write(&spec());
    let check = |change: fn(&mut EngineOptions), expect: &str| {
        let mut options = options();
        change(&mut options);
        let error = load_with(&model, &options).to_string();
        assert!(error.contains(expect), "{error:?} does not contain {expect:?}");
    };
    check(|o| o.threads = 0, "threads is 0");
    check(|o| o.context = 0, "context is 0");
    check(|o| o.max_sequences = 100_000, "sequences is 100000");
    check(|o| o.prefill_chunk = 0, "prefill chunk is 0");
    check(|o| o.memory_limit = Some(1000), "and 1000 allowed");
    let missing = Engine::load("no/such/model.gguf".as_ref(), &options(), &mut |_| {}).err().expect("refused");
    assert!(missing.to_string().contains("no/such/model.gguf"), "{missing}");
}

#[test]
fn a_file_cut_short_is_refused() {
    let model = write(&spec());
    let bytes = std::fs::read(model.path()).expect("reads");
    for share in [0, 1, 10, 50, 90, 99] {
        std::fs::write(model.path(), &bytes[..bytes.len() * share / 100]).expect("writes");
        let error = load_with(&model, &options());
        assert!(matches!(error, LoadError::Files(_)), "{share} %: {error}");
    }
}
