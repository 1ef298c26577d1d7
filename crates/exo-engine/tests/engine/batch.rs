//! What runs beside a request, and how its prompt is cut, never changes its tokens.

use exo_engine::{EngineOptions, Prompt};
use exo_gguf::GgmlType;
use exo_kernels::Isa;
use exo_testkit::ModelSpec;

use crate::support::{Answer, generate, load, logits, options, request, run, tokens, write};
use exo_text::Sampling;

#[test]
fn requests_in_a_batch_get_the_tokens_that_they_get_alone() {
    for format in [GgmlType::F32, GgmlType::BF16, GgmlType::Q4_0] {
        let model = write(&ModelSpec { matrices: format, embedding: format, ..ModelSpec::default() });
        for isa in Isa::available() {
            let options = EngineOptions { isa: Some(isa), ..options() };
            let prompts: Vec<_> = (1..=6).map(|seed| tokens(seed, 5 + 9 * seed)).collect();
            let alone = |prompt: &Vec<u32>| generate(&mut load(&model, &options), prompt.clone(), 12);
            let expected: Vec<_> = prompts.iter().map(alone).collect();
            let mut engine = load(&model, &options);
            for (id, prompt) in prompts.iter().enumerate() {
                engine.submit(request(id as u64, Prompt::Tokens(prompt.clone()), 12)).expect("accepted");
            }
            let answers: Vec<_> = run(&mut engine).into_values().map(|answer| answer.tokens).collect();
            assert_eq!(answers, expected, "{isa} {format}");
        }
    }
}

#[test]
fn a_prompt_in_chunks_gives_the_logits_of_one_in_one_go() {
    let model = write(&ModelSpec { matrices: GgmlType::Q8_0, ..ModelSpec::default() });
    let prompt = tokens(2, 50);
    let with_chunk = |prefill_chunk| logits(&mut load(&model, &EngineOptions { prefill_chunk, ..options() }), &prompt);
    let in_one_go = with_chunk(64);
    for chunk in [1, 7, 16, 49] {
        assert_eq!(with_chunk(chunk), in_one_go, "chunks of {chunk}");
    }
}

#[test]
fn threads_do_not_change_tokens() {
    let model = write(&ModelSpec { matrices: GgmlType::Q4_0, ..ModelSpec::default() });
    let with_threads =
        |threads| generate(&mut load(&model, &EngineOptions { threads, ..options() }), tokens(5, 30), 20);
    assert_eq!(with_threads(1), with_threads(3));
}

#[test]
fn a_prompt_that_is_held_in_a_slot_gives_the_same_answer_again() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    let prompt = tokens(4, 40);
    let first = generate(&mut engine, prompt.clone(), 10);
    engine.submit(request(1, Prompt::Tokens(prompt.clone()), 10)).expect("accepted");
    let mut outputs = Vec::new();
    while !engine.is_idle() {
        outputs.extend(engine.step().expect("computes"));
    }
    assert_eq!(outputs[0].usage.cached_tokens, 39);
    assert_eq!(outputs.iter().flat_map(|output| output.token_ids.clone()).collect::<Vec<_>>(), first);
}

#[test]
fn what_is_guessed_ahead_changes_no_answer() {
    let model = write(&ModelSpec { matrices: GgmlType::Q4_0, ..ModelSpec::default() });
    let answers = |draft: u32, temperature: f32| -> (Vec<Answer>, u32) {
        let mut engine = load(&model, &EngineOptions { draft, context: 512, ..options() });
        for id in 0..3 {
            // What is said again and again is said again, mostly.
            let prompt: Vec<u32> = tokens(id as u32, 9).repeat(6);
            let sampling = Sampling { temperature, seed: id, repetition_penalty: 0.9, ..Sampling::default() };
            engine
                .submit(exo_engine::GenerateRequest { sampling, ..request(id, Prompt::Tokens(prompt), 120) })
                .expect("accepted");
        }
        let mut answers = std::collections::BTreeMap::new();
        let mut steps = 0;
        while !engine.is_idle() {
            crate::support::collect(&mut answers, engine.step().expect("computes"));
            steps += 1;
        }
        (answers.into_values().collect(), steps)
    };
    for temperature in [0.0, 0.4] {
        let ((expected, steps), (with, fewer)) = (answers(0, temperature), answers(8, temperature));
        assert_eq!(with, expected, "at temperature {temperature}");
        assert!(fewer < steps, "{fewer} steps instead of {steps}: nothing was guessed");
    }
}
