//! Hugging Face directories: the same generated weights as in a GGUF file give the same answers.

use std::path::{Path, PathBuf};

use exo_engine::{Engine, EngineOptions, LoadError, Prompt, StageWorker};
use exo_gguf::GgmlType;
use exo_testkit::{Agreement, AgreementBound, Architecture, HfStorage, ModelSpec};
use exo_text::{Chat, ChatMessage, ControlTokens};
use exo_weights::Quantisation;
use tempfile::TempDir;

use crate::{
    pipeline::load_chain_at,
    support::{generate, load, logits, options, request, run, tokens, write},
};

fn directory(spec: &ModelSpec, storage: HfStorage) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    spec.write_hugging_face(folder.path(), storage).expect("writes");
    folder
}

fn load_at(path: &Path, options: &EngineOptions) -> Engine {
    Engine::load(path, options, &mut |_| {}).expect("a valid model")
}

fn mixtral() -> ModelSpec {
    ModelSpec { experts: Some((4, 2)), ..ModelSpec::default() }
}

fn every_model() -> impl Iterator<Item = ModelSpec> {
    let tied = ModelSpec { tied: true, ..ModelSpec::of(Architecture::Qwen2) };
    Architecture::DECODERS.into_iter().map(ModelSpec::of).chain([mixtral(), tied])
}

#[test]
fn a_directory_gives_the_tokens_of_the_gguf_file_alone_and_in_stages() {
    for spec in every_model() {
        let (file, folder) = (write(&spec), directory(&spec, HfStorage::F32));
        let mut from_file = load(&file, &options());
        let mut whole = load_at(folder.path(), &options());
        let mut chain = load_chain_at(folder.path(), &[1, spec.layers], &options()).0;
        assert_eq!(whole.config().layers, from_file.config().layers);
        for seed in 1..=4 {
            // Longer than the windows, and than what rotary frequencies are extended from.
            let prompt = tokens(seed, 30 + seed);
            let expected = generate(&mut from_file, prompt.clone(), 16);
            for engine in [&mut whole, &mut chain] {
                assert_eq!(generate(engine, prompt.clone(), 16), expected, "{:?}, seed {seed}", spec.architecture);
            }
        }
    }
}

#[test]
fn logits_of_a_directory_are_those_of_the_gguf_file() {
    for spec in every_model() {
        let (file, folder) = (write(&spec), directory(&spec, HfStorage::F32));
        let prompt = tokens(3, 50);
        let expected = logits(&mut load(&file, &options()), &prompt);
        let agreement = Agreement::between(&logits(&mut load_at(folder.path(), &options()), &prompt), &expected);
        assert!(agreement.difference < 1e-3, "{:?}: {agreement}", spec.architecture);
        // Two files and an index; numbers of 16 bits.
        let folder = directory(&spec, HfStorage::ShardedBf16);
        let agreement = Agreement::between(&logits(&mut load_at(folder.path(), &options()), &prompt), &expected);
        let bound = if spec.experts.is_some() {
            // A rounding of the router may have a token ask another expert.
            AgreementBound { difference: 0.2, divergence: 0.02, same_likeliest: 0.9 }
        } else {
            AgreementBound { difference: 0.1, ..AgreementBound::for_type("Q8_0") }
        };
        assert!(agreement.keeps(&bound), "{:?} in bf16: {agreement}", spec.architecture);
    }
}

#[test]
fn text_and_chats_become_the_tokens_that_the_gguf_file_makes_of_them() {
    let spec = ModelSpec::default();
    let (file, folder) = (write(&spec), directory(&spec, HfStorage::F32));
    let (mut from_file, mut whole) = (load(&file, &options()), load_at(folder.path(), &options()));
    for text in ["then there", "  on <|im_end|>\n12 größe", ""] {
        for control in [ControlTokens::AsText, ControlTokens::Parse] {
            let encode = |engine: &Engine| engine.tokenizer().encode_prompt(text, control).expect("known bytes");
            assert_eq!(encode(&whole), encode(&from_file), "{text:?}");
        }
    }
    let ends = |engine: &Engine| engine.tokenizer().ends().collect::<Vec<_>>();
    assert_eq!(ends(&whole), ends(&from_file));
    let message = ChatMessage { role: "user".into(), content: "then".into(), ..ChatMessage::default() };
    let answers = [&mut from_file, &mut whole].map(|engine| {
        let chat = Chat { messages: vec![message.clone()], ..Chat::default() };
        let prompt_tokens = engine.submit(request(1, Prompt::Chat(chat), 12)).expect("accepted");
        (prompt_tokens, run(engine))
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn weights_are_quantised_as_they_are_loaded() {
    for spec in
        [ModelSpec::default(), ModelSpec::of(Architecture::GptOss), ModelSpec::of(Architecture::Phi3), mixtral()]
    {
        let (file, folder) = (write(&spec), directory(&spec, HfStorage::F32));
        let prompt = tokens(2, 40);
        let load = |path: &Path, quantisation| {
            let mut total = 0;
            let options = EngineOptions { quantisation, ..options() };
            let mut engine = Engine::load(path, &options, &mut |at| total = at.bytes_total).expect("a valid model");
            (logits(&mut engine, &prompt), total)
        };
        let (plain, whole) = load(folder.path(), None);
        // A rounding may have a token ask another expert.
        let bounds = if spec.experts.is_some() { [0.25, 0.6] } else { [0.1, 0.5] };
        let kinds = [(Quantisation::Q8_0, 34.0), (Quantisation::Q4_0, 18.0)];
        for ((quantisation, bytes), bound) in kinds.into_iter().zip(bounds) {
            let (quantised, total) = load(folder.path(), Some(quantisation));
            let agreement = Agreement::between(&quantised, &plain);
            let name = format!("{:?} in {quantisation}", spec.architecture);
            assert!(agreement.difference > 0.0 && agreement.difference < bound, "{name}: {agreement}");
            // Of 128 bytes for 32 weights; norms, routers and the head weigh a little more.
            let share = total as f64 / whole as f64;
            assert!((bytes / 128.0..bytes / 128.0 + 0.05).contains(&share), "{name}: {share}");
            let agreement = Agreement::between(&load(&file.path(), Some(quantisation)).0, &quantised);
            assert!(agreement.difference < 0.05, "{name} from GGUF: {agreement}");
        }
    }
    let stored = ModelSpec { matrices: GgmlType::Q4_0, embedding: GgmlType::Q4_0, ..ModelSpec::default() };
    let file = write(&stored);
    let quantising = EngineOptions { quantisation: Some(Quantisation::Q8_0), ..options() };
    let as_it_is = logits(&mut load(&file, &options()), &tokens(2, 40));
    assert!(logits(&mut load(&file, &quantising), &tokens(2, 40)) == as_it_is, "what is quantised stays");
}

#[test]
fn a_rank_reads_its_own_layers() {
    let spec = ModelSpec::default();
    let folder = directory(&spec, HfStorage::F32);
    let options = EngineOptions { layers: Some(1..3), ..options() };
    let mut total = 0;
    StageWorker::load(folder.path(), &options, &mut |at| total = at.bytes_total).expect("a valid model");
    let ModelSpec { hidden, feed_forward, .. } = spec;
    let of_layer = hidden * (2 * hidden + 2 * 64 + 3 * feed_forward) + 2 * hidden;
    assert_eq!(total, 2 * 4 * of_layer as u64);
}

/// What the engine says to a directory that `spoil` has changed.
#[track_caller]
fn refused(spec: &ModelSpec, storage: HfStorage, spoil: impl FnOnce(&Path), expect: &str) {
    let folder = directory(spec, storage);
    spoil(folder.path());
    let error = Engine::load(folder.path(), &options(), &mut |_| {}).err().expect(expect);
    assert!(error.to_string().contains(expect), "{error} does not contain {expect}");
}

fn edit(path: PathBuf, from: &str, to: &str) {
    let text = std::fs::read_to_string(&path).expect("reads");
    assert!(text.contains(from), "{} has no {from}", path.display());
    std::fs::write(path, text.replace(from, to)).expect("writes");
}

#[test]
fn a_directory_that_lies_is_refused_with_what_is_wrong() {
    let llama = ModelSpec::default();
    let check = |from: &str, to: &str, expect: &str| {
        refused(&llama, HfStorage::F32, |folder| edit(folder.join("config.json"), from, to), expect);
    };
    check("\"llama\"", "\"rwkv\"", "rwkv");
    check("\"hidden_size\":128", "\"hidden_size\":256", "shape");
    check("\"hidden_size\":128", "\"hidden_size\":-1", "hidden_size in config.json");
    check("\"hidden_size\":128,", "", "no hidden_size");
    check("\"num_hidden_layers\":3", "\"num_hidden_layers\":2", "blk.2.");
    check("\"num_hidden_layers\":3", "\"num_hidden_layers\":4", "blk.3.");
    check("\"num_attention_heads\":4", "\"num_attention_heads\":0", "head_count");
    check("\"vocab_size\":272", "\"vocab_size\":300", "is 300, but the embedding has 272 rows");
    check("\"vocab_size\":272", "\"vocab_size\":4000000000", "vocab_size");
    check("\"hidden_act\":\"silu\"", "\"hidden_act\":\"relu\"", "hidden_act = \"relu\"");
    check("\"tie_word_embeddings\":false", "\"rope_scaling\":{\"rope_type\":\"dynamic\"}", "dynamic");
    check("\"tie_word_embeddings\":false", "\"quantization_config\":{\"quant_method\":\"gptq\"}", "gptq");
    check("{", "[", "config.json is broken");
    let gone = |name: &'static str| move |folder: &Path| std::fs::remove_file(folder.join(name)).expect("it is there");
    refused(&llama, HfStorage::F32, gone("config.json"), "config.json");
    refused(&llama, HfStorage::F32, gone("tokenizer.json"), "no tokenizer.json");
    refused(&llama, HfStorage::F32, gone("model.safetensors"), "neither model.safetensors nor");
    refused(&llama, HfStorage::ShardedBf16, gone("model-00002-of-00002.safetensors"), "model-00002-of-00002");
    let index = |from: &'static str, to: &'static str| {
        move |folder: &Path| edit(folder.join("model.safetensors.index.json"), from, to)
    };
    let outside = index("model-00002-of-00002", "../model-00002-of-00002");
    refused(&llama, HfStorage::ShardedBf16, outside, "no safetensors file of this directory");
    let other = index("model.norm.weight", "model.other.weight");
    refused(&llama, HfStorage::ShardedBf16, other, "\"model.other.weight\", which the index says");
    let window = |folder: &Path| {
        edit(
            folder.join("config.json"),
            "\"sliding_window\":20",
            "\"layer_types\":[\"full_attention\"],\"sliding_window\":20",
        )
    };
    refused(&ModelSpec::of(Architecture::Gemma2), HfStorage::F32, window, "layer_types");
}

#[test]
fn a_directory_cut_short_is_refused() {
    let folder = directory(&ModelSpec::default(), HfStorage::F32);
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).expect("reads");
    for share in [0, 1, 50, 99] {
        std::fs::write(&path, &bytes[..bytes.len() * share / 100]).expect("writes");
        let error = Engine::load(folder.path(), &options(), &mut |_| {}).err().expect("refused");
        assert!(matches!(error, LoadError::Files(_)), "{share} %: {error}");
    }
}
