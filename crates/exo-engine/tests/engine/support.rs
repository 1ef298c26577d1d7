//! Shorthands.

use std::collections::BTreeMap;

use exo_engine::{Engine, EngineOptions, Finish, GenerateRequest, Output, Prompt, ReplyOptions, Turn};
use exo_testkit::{ModelSpec, TemporaryModel};
use exo_text::Sampling;

pub fn write(spec: &ModelSpec) -> TemporaryModel {
    spec.write_temporary().expect("a temporary folder")
}

pub fn options() -> EngineOptions {
    EngineOptions { threads: 2, context: 128, max_sequences: 4, prefill_chunk: 16, ..EngineOptions::default() }
}

pub fn load(model: &TemporaryModel, options: &EngineOptions) -> Engine {
    Engine::load(&model.path(), options, &mut |_| {}).expect("a valid model")
}

/// A greedy request for exactly `max_tokens`.
pub fn request(id: u64, prompt: Prompt, max_tokens: u32) -> GenerateRequest {
    let sampling = Sampling::default();
    let reply = ReplyOptions::default();
    GenerateRequest {
        id,
        prompt,
        sampling,
        max_tokens: Some(max_tokens),
        stop: vec![],
        ignore_eos: true,
        reply,
        answered: vec![],
        asked_at: None,
        turn: Turn::default(),
    }
}

/// A prompt of `length` tokens that differs from others.
pub fn tokens(seed: u32, length: u32) -> Vec<u32> {
    (0..length).map(|index| (index * 7 + seed * 31 + index * index * seed) % 256).collect()
}

/// Everything that a request brought.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Answer {
    pub tokens: Vec<u32>,
    pub text: String,
    pub finish: Option<Finish>,
}

pub fn collect(answers: &mut BTreeMap<u64, Answer>, outputs: Vec<Output>) {
    for output in outputs {
        let answer = answers.entry(output.id).or_default();
        assert_eq!(answer.finish, None, "nothing comes after the end");
        answer.tokens.extend(output.token_ids);
        answer.text += &output.text;
        answer.finish = output.finish;
    }
}

/// Steps until nothing is left.
pub fn run(engine: &mut Engine) -> BTreeMap<u64, Answer> {
    let mut answers = BTreeMap::new();
    finish(engine, &mut answers);
    answers
}

/// Steps until nothing is left of what began before.
pub fn finish(engine: &mut Engine, answers: &mut BTreeMap<u64, Answer>) {
    while !engine.is_idle() {
        collect(answers, engine.step().expect("computes"));
    }
}

/// The tokens of one greedy request alone.
pub fn generate(engine: &mut Engine, prompt: Vec<u32>, max_tokens: u32) -> Vec<u32> {
    engine.submit(request(u64::MAX, Prompt::Tokens(prompt), max_tokens)).expect("accepted");
    run(engine).remove(&u64::MAX).expect("answered").tokens
}

/// Logits after each token.
pub fn logits(engine: &mut Engine, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    engine.score_with(tokens, &mut |_, row| rows.push(row.to_vec())).expect("computes");
    rows
}
