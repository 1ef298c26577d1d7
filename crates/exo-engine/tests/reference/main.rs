//! Our engine against results that llama.cpp and transformers gave, on every instruction set of this machine.
//!
//! `cargo xtask conformance engine --record` writes the JSON files beside this one; docs/engine-conformance.md tells
//! how the bounds came about.

use std::path::{Path, PathBuf};

use exo_engine::{Engine, EngineOptions, GenerateRequest, Prompt, ReplyOptions};
use exo_kernels::Isa;
use exo_testkit::{Agreement, AgreementBound, ReferenceCase, ReferenceContinuation, ReferenceLogits, ReferenceText};
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

fn continue_greedily(engine: &mut Engine, tokens: &[u32], count: usize) -> Vec<u32> {
    let request = GenerateRequest {
        id: 1,
        prompt: Prompt::Tokens(tokens.to_vec()),
        sampling: Sampling::default(),
        max_tokens: Some(count as u32),
        stop: Vec::new(),
        ignore_eos: true,
        reply: ReplyOptions::default(),
        answered: Vec::new(),
        asked_at: None,
    };
    engine.submit(request).expect("a short prompt");
    let mut continuation = Vec::new();
    while !engine.is_idle() {
        let outputs = engine.step().expect("the engine computes");
        continuation.extend(outputs.into_iter().flat_map(|output| output.token_ids));
    }
    continuation
}
