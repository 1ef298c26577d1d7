//! Encoders: vectors of texts whose tokens see each other.

use exo_engine::{
    EmbeddingOptions, Engine, EngineOptions, EvaluateError, GenerateRequest, Pooling, Prompt, ReplyOptions, SubmitError,
};
use exo_kernels::Isa;
use exo_testkit::{Architecture, HfStorage, ModelSpec, TemporaryModel, distance};
use exo_weights::Quantisation;

use crate::{
    pipeline::load_chain,
    support::{load, options, request, run, write},
    tensor::shared,
};

const POOLINGS: [Pooling; 3] = [Pooling::Mean, Pooling::Cls, Pooling::Last];
/// Tokens that begin and end a text.
const BEGIN: u32 = 2;
const END: u32 = 3;

fn spec() -> ModelSpec {
    ModelSpec::of(Architecture::Bert)
}

fn wanted(id: u64, prompt: Prompt, pooling: Option<Pooling>) -> GenerateRequest {
    let reply = ReplyOptions { embedding: Some(EmbeddingOptions { pooling }), ..ReplyOptions::default() };
    GenerateRequest { max_tokens: None, reply, ..request(id, prompt, 1) }
}

/// A text of so many tokens, the first and the last included.
fn text(seed: u32, length: u32) -> Vec<u32> {
    let inner = (2..length).map(|index| 10 + (index * 37 + seed * 101 + index * index * seed) % 400);
    std::iter::once(BEGIN).chain(inner).chain([END]).collect()
}

/// The vectors of all texts, which are asked for at once.
fn embed_all(engine: &mut Engine, texts: &[Vec<u32>], pooling: Pooling) -> Vec<Vec<f32>> {
    for (id, text) in (0..).zip(texts) {
        engine.submit(wanted(id, Prompt::Tokens(text.clone()), Some(pooling))).expect("accepted");
    }
    let mut vectors = vec![Vec::new(); texts.len()];
    while !engine.is_idle() {
        for output in engine.step().expect("computes") {
            vectors[output.id as usize] = output.embedding.expect("a vector");
        }
    }
    vectors
}

fn embed(engine: &mut Engine, prompt: Prompt, pooling: Option<Pooling>) -> Vec<f32> {
    engine.submit(wanted(1, prompt, pooling)).expect("accepted");
    let mut outputs = Vec::new();
    while !engine.is_idle() {
        outputs.extend(engine.step().expect("computes"));
    }
    outputs.pop().expect("one output").embedding.expect("a vector")
}

#[test]
fn a_vector_does_not_depend_on_neighbours_steps_or_nodes() {
    let model = write(&spec());
    // More texts than slots, and more tokens than a step has.
    let texts: Vec<_> =
        [3, 96, 17, 2, 64, 95, 33].into_iter().zip(1..).map(|(length, seed)| text(seed, length)).collect();
    for isa in Isa::available() {
        let options = EngineOptions { isa: Some(isa), ..options() };
        for pooling in POOLINGS {
            let mut alone = load(&model, &options);
            let expected: Vec<_> =
                texts.iter().map(|text| embed(&mut alone, Prompt::Tokens(text.clone()), Some(pooling))).collect();
            assert_eq!(embed_all(&mut load(&model, &options), &texts, pooling), expected, "{isa} {pooling:?}");
            let (mut chain, _) = load_chain(&model, &[1, 2, 3], &options);
            assert_eq!(embed_all(&mut chain, &texts, pooling), expected, "{isa} {pooling:?} in stages");
            for size in [2, 3] {
                let mut group = shared(&model, &options, size);
                assert_eq!(embed_all(&mut group, &texts, pooling), expected, "{isa} {pooling:?} over {size}");
            }
        }
    }
}

#[test]
fn short_texts_share_a_step() {
    let mut engine = load(&write(&spec()), &options());
    for id in 0..4 {
        engine.submit(wanted(id, Prompt::Tokens(text(1, 20)), None)).expect("accepted");
    }
    assert_eq!(engine.step().expect("computes").len(), 4);
    assert!(engine.is_idle());
}

#[test]
fn every_token_sees_the_whole_text_and_its_place_in_it() {
    let mut engine = load(&write(&spec()), &options());
    let mut first = |tokens: Vec<u32>| embed(&mut engine, Prompt::Tokens(tokens), Some(Pooling::Cls));
    let vector = first(vec![BEGIN, 50, 60, 70, END]);
    assert_ne!(first(vec![BEGIN, 50, 60, 71, END]), vector, "what stands behind");
    assert_ne!(first(vec![BEGIN, 50, 70, 60, END]), vector, "the order");
    assert_ne!(first(vec![BEGIN, 50, 60, 70, 70, END]), vector, "the length");
    assert_eq!(first(vec![BEGIN, 50, 60, 70, END]), vector, "nothing that was there before");
}

#[test]
fn a_directory_gives_the_vectors_of_the_file() {
    let (spec, folder) = (spec(), tempfile::tempdir().expect("a folder"));
    spec.write_hugging_face(folder.path(), HfStorage::F32).expect("writes");
    let mut file = load(&write(&spec), &options());
    let mut directory = Engine::load(folder.path(), &options(), &mut |_| {}).expect("a valid directory");
    assert_eq!((file.config(), file.context()), (directory.config(), 96));
    let text = || Prompt::Text("What is the CLUSTER, über-machine?".into());
    assert_eq!(embed(&mut file, text(), None), embed(&mut directory, text(), None));
    std::fs::create_dir(folder.path().join("1_Pooling")).expect("a folder");
    let pooling = r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#;
    std::fs::write(folder.path().join("1_Pooling/config.json"), pooling).expect("writes");
    let mut directory = Engine::load(folder.path(), &options(), &mut |_| {}).expect("a valid directory");
    assert_eq!(embed(&mut directory, text(), None), embed(&mut file, text(), Some(Pooling::Cls)));
}

#[test]
fn smaller_types_give_nearly_the_same_vectors() {
    let (spec, folder) = (spec(), tempfile::tempdir().expect("a folder"));
    spec.write_hugging_face(folder.path(), HfStorage::ShardedBf16).expect("writes");
    let model = write(&spec);
    let exact = embed(&mut load(&model, &options()), Prompt::Tokens(text(5, 60)), None);
    let quantised = EngineOptions { quantisation: Some(Quantisation::Q8_0), ..options() };
    for (path, options) in [(folder.path().to_owned(), options()), (model.path(), quantised)] {
        let mut engine = Engine::load(&path, &options, &mut |_| {}).expect("a valid model");
        let apart = distance(&embed(&mut engine, Prompt::Tokens(text(5, 60)), None), &exact);
        assert!((1e-5..0.03).contains(&apart), "{}: {apart}", path.display());
    }
}

fn with_pooling(number: u32) -> TemporaryModel {
    let (spec, model) = (spec(), write(&spec()));
    let mut writer = spec.writer();
    writer.set("bert.pooling_type", number);
    writer.write(&model.path()).expect("writes");
    model
}

#[test]
fn the_file_says_how_states_are_pooled() {
    let mut engine = load(&write(&spec()), &options());
    let text = || Prompt::Tokens(text(3, 30));
    let expected = [(0, Pooling::Mean), (1, Pooling::Mean), (2, Pooling::Cls), (3, Pooling::Last)];
    for (number, pooling) in expected {
        let mut told = load(&with_pooling(number), &options());
        assert_eq!(embed(&mut told, text(), None), embed(&mut engine, text(), Some(pooling)), "{number}");
    }
    let error = Engine::load(&with_pooling(4).path(), &options(), &mut |_| {}).err().expect("of rerankers");
    assert!(error.to_string().contains("way 4"), "{error}");
}

#[test]
fn an_encoder_gives_no_text_and_takes_no_text_that_is_too_long() {
    let model = write(&spec());
    let mut engine = load(&model, &options());
    let refused = engine.submit(request(1, Prompt::Text("a".into()), 5)).expect_err("no head");
    assert!(matches!(refused, SubmitError::NoText), "{refused}");
    assert!(matches!(engine.score(&[BEGIN, END]), Err(EvaluateError::NoText)));
    embed(&mut engine, Prompt::Tokens(text(1, 96)), None);
    let refused = engine.submit(wanted(1, Prompt::Tokens(text(1, 97)), None)).expect_err("a token too many");
    assert!(matches!(refused, SubmitError::PromptTooLong { prompt_tokens: 97, context: 96 }), "{refused}");
    let refused =
        engine.submit(wanted(1, Prompt::Text("a ".repeat(95)), None)).expect_err("with what stands around it");
    assert!(matches!(refused, SubmitError::PromptTooLong { prompt_tokens: 97, context: 96 }), "{refused}");
    let mut short = load(&model, &EngineOptions { context: 40, ..options() });
    let refused = short.submit(wanted(1, Prompt::Tokens(text(1, 41)), None)).expect_err("a token too many");
    assert!(matches!(refused, SubmitError::PromptTooLong { prompt_tokens: 41, context: 40 }), "{refused}");
    assert!(run(&mut engine).is_empty());
    let mut decoder = load(&write(&ModelSpec::default()), &options());
    let refused = decoder.submit(wanted(1, Prompt::Text("a".into()), Some(Pooling::Cls))).expect_err("causal");
    assert!(matches!(refused, SubmitError::ClsOfDecoder), "{refused}");
}
