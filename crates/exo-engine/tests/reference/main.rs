//! Our engine against results that llama.cpp and transformers gave, on every instruction set of this machine.
//!
//! `cargo xtask conformance engine --record` writes the JSON files beside this one; docs/engine-conformance.md tells
//! how the bounds came about.

use std::path::{Path, PathBuf};

use exo_engine::{EmbeddingOptions, Engine, EngineOptions, GenerateRequest, Pooling, Prompt, ReplyOptions, Turn};
use exo_kernels::Isa;
use exo_testkit::{
    Agreement, AgreementBound, ReferenceCase, ReferenceContinuation, ReferenceEncoding, ReferenceLogits, ReferenceText,
    VECTOR_BOUND, distance,
};
use exo_text::{ControlTokens, Sampling};
use serde::de::DeserializeOwned;

fn recorded<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn guide_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/exo-guide.gguf")
}

fn load(path: &Path, isa: Isa) -> Engine {
    let options = EngineOptions { isa: Some(isa), context: 256, max_sequences: 1, ..EngineOptions::default() };
    Engine::load(path, &options, &mut |_| ()).expect("the model loads")
}

#[test]
fn logits_agree_with_llama_cpp_for_every_format_and_shape() {
    for case in ReferenceCase::all() {
        check(&case, &recorded(case.name), &case.bound());
    }
}

#[test]
fn logits_agree_with_transformers_for_every_architecture() {
    for case in ReferenceCase::architectures() {
        check(&case, &recorded(&format!("torch/{}", case.name)), &AgreementBound::WITH_TORCH);
    }
}

#[test]
fn an_encoder_makes_the_tokens_and_vectors_of_transformers() {
    let case = ReferenceCase::encoder();
    let model = case.spec.write_temporary().expect("a folder for a small model");
    let references: Vec<ReferenceEncoding> = recorded("torch/bert");
    assert!(references.iter().filter(|reference| reference.vectors.is_some()).count() >= 5);
    for isa in Isa::available() {
        let mut engine = load(&model.path(), isa);
        for ReferenceEncoding { text, tokens, vectors } in &references {
            let own = engine.tokenizer().encode(text, ControlTokens::AsText).expect("a short text");
            assert_eq!(Some(own.as_slice()), tokens.get(1..tokens.len() - 1), "{text:?}");
            let poolings = [Pooling::Mean, Pooling::Cls, Pooling::Last];
            for (pooling, vector) in poolings.into_iter().zip(vectors.iter().flatten()) {
                let (own, count) = embed(&mut engine, text, pooling);
                assert_eq!(count, tokens.len(), "{text:?} with what stands around it");
                let apart = distance(&own, vector);
                assert!(apart <= VECTOR_BOUND, "{text:?} {pooling:?} on {}: {apart}", isa.name());
            }
        }
    }
}

/// The vector of a text, and the number of its tokens.
fn embed(engine: &mut Engine, text: &str, pooling: Pooling) -> (Vec<f32>, usize) {
    let embedding = Some(EmbeddingOptions { pooling: Some(pooling) });
    let reply = ReplyOptions { embedding, ..ReplyOptions::default() };
    engine.submit(request(Prompt::Text(text.to_owned()), None, reply)).expect("a short text");
    let output = engine.step().expect("the engine computes").pop().expect("one step");
    (output.embedding.expect("a vector"), output.usage.prompt_tokens as usize)
}

/// Compares on every instruction set.
fn check(case: &ReferenceCase, reference: &ReferenceLogits, bound: &AgreementBound) {
    let model = case.spec.write_temporary().expect("a folder for a small model");
    assert_eq!(reference.tokens, case.tokens(), "{}: record again", case.name);
    for isa in Isa::available() {
        let mut engine = load(&model.path(), isa);
        let logits = engine.score(&reference.tokens).expect("the engine computes");
        let rows: Vec<Vec<f32>> = logits.chunks_exact(case.spec.vocabulary).map(<[f32]>::to_vec).collect();
        let agreement = Agreement::between(&reference.select(&rows), &reference.rows);
        assert!(agreement.keeps(bound), "{} on {}: {agreement}", case.name, isa.name());
    }
}

#[test]
fn exo_guide_continues_as_in_llama_cpp() {
    let continuations: Vec<ReferenceContinuation> = recorded("guide_continuations");
    for isa in Isa::available() {
        let mut engine = load(&guide_model(), isa);
        for reference in &continuations {
            let continuation = continue_greedily(&mut engine, &reference.tokens, reference.continuation.len());
            assert_eq!(continuation, reference.continuation, "after {:?} on {}", reference.tokens, isa.name());
        }
    }
}

#[test]
fn texts_become_the_same_tokens_as_in_llama_cpp() {
    let engine = load(&guide_model(), Isa::detect());
    for ReferenceText { text, tokens } in recorded::<Vec<ReferenceText>>("guide_texts") {
        let own = engine.tokenizer().encode(&text, ControlTokens::AsText).expect("a short text");
        assert_eq!(own, tokens, "{text:?}");
    }
}

fn request(prompt: Prompt, max_tokens: Option<u32>, reply: ReplyOptions) -> GenerateRequest {
    GenerateRequest {
        id: 1,
        prompt,
        sampling: Sampling::default(),
        max_tokens,
        stop: Vec::new(),
        ignore_eos: true,
        reply,
        answered: Vec::new(),
        asked_at: None,
        turn: Turn::default(),
    }
}

fn continue_greedily(engine: &mut Engine, tokens: &[u32], count: usize) -> Vec<u32> {
    let prompt = Prompt::Tokens(tokens.to_vec());
    engine.submit(request(prompt, Some(count as u32), ReplyOptions::default())).expect("a short prompt");
    let mut continuation = Vec::new();
    while !engine.is_idle() {
        let outputs = engine.step().expect("the engine computes");
        continuation.extend(outputs.into_iter().flat_map(|output| output.token_ids));
    }
    continuation
}
