//! What was computed for one request serves others that begin the same, and changes no answer.

use std::collections::BTreeMap;

use exo_engine::{BLOCK, Engine, EngineOptions, Prompt};
use exo_gguf::GgmlType;
use exo_kernels::KvFormat;
use exo_testkit::ModelSpec;

use crate::{
    pipeline::{connect_chain, load_chain},
    support::{Answer, collect, load, logits, options, request, tokens, write},
    tensor::shared_over,
};

/// Instructions that all have, and a question of one's own.
fn prompt(user: u32) -> Vec<u32> {
    [tokens(1, 3 * BLOCK as u32 + 10), tokens(20 + user, 30)].concat()
}

/// Each chat's first answer, then all go on at once; how many tokens of the prompts were there.
fn chat(engine: &mut Engine) -> (BTreeMap<u64, Answer>, u32) {
    let (mut answers, mut cached) = (BTreeMap::new(), 0);
    let mut ask = |engine: &mut Engine, prompts: Vec<(u64, Vec<u32>)>| {
        for (id, prompt) in prompts {
            engine.submit(request(id, Prompt::Tokens(prompt), 40)).expect("accepted");
        }
        while !engine.is_idle() {
            let outputs = engine.step().expect("computes");
            let ended = outputs.iter().filter(|output| output.finish.is_some());
            cached += ended.map(|output| output.usage.cached_tokens).sum::<u32>();
            collect(&mut answers, outputs);
        }
        answers.clone()
    };
    for user in 0..4 {
        ask(engine, vec![(user, prompt(user as u32))]);
    }
    let first = ask(engine, vec![]);
    let goes_on = |user: u64| [prompt(user as u32), first[&user].tokens.clone(), tokens(7, 20)].concat();
    (ask(engine, (0..4).map(|user| (10 + user, goes_on(user))).collect()), cached)
}

fn check(name: &str, spec: &ModelSpec, engine: impl Fn(&EngineOptions) -> Engine) {
    let options = EngineOptions { context: 512, max_sequences: 2, prefill_chunk: 96, ..options() };
    let without = EngineOptions { reuse: false, ..options.clone() };
    let (expected, none) = chat(&mut load(&write(spec), &without));
    assert_eq!(none, 0);
    let (answers, cached) = chat(&mut engine(&options));
    assert!(answers == expected, "{name}");
    // All but the first have the instructions' blocks, and the last four what they had said as well.
    let blocks = 3 * 3 + 4 * 4;
    assert!(cached >= blocks * BLOCK as u32, "{name}: {cached} tokens were there");
}

#[test]
fn what_others_began_with_changes_no_answer_however_a_model_is_cut() {
    for spec in [ModelSpec::default(), ModelSpec { matrices: GgmlType::Q4_0, tied: true, ..ModelSpec::default() }] {
        let model = write(&spec);
        check("whole", &spec, |options| load(&model, options));
        for cuts in [&[1, 3][..], &[1, 2, 3]] {
            check(&format!("{cuts:?}"), &spec, |options| load_chain(&model, cuts, options).0);
        }
        check("shared", &spec, |options| shared_over(&[&model, &model], options));
    }
}

#[test]
fn keys_and_values_as_bytes_are_the_same_on_all_ranks_and_for_whoever_begins_with_them() {
    let model = write(&ModelSpec::default());
    let options = EngineOptions { context: 512, max_sequences: 2, prefill_chunk: 96, ..options() };
    let bytes = EngineOptions { kv_format: KvFormat::Q8, ..options.clone() };
    let without = EngineOptions { reuse: false, ..bytes.clone() };
    let (expected, _) = chat(&mut load(&model, &without));
    let logits_with = |options| logits(&mut load(&model, options), &prompt(0));
    assert!(logits_with(&bytes) != logits_with(&options), "it rounds");
    for mut engine in
        [load(&model, &bytes), load_chain(&model, &[1, 3], &bytes).0, shared_over(&[&model, &model], &bytes)]
    {
        let (answers, cached) = chat(&mut engine);
        assert!(answers == expected && cached > 0);
    }
}

#[test]
fn a_rank_that_another_took_the_place_of_is_asked_for_nothing_that_it_has_not() {
    let model = write(&ModelSpec::default());
    let options = EngineOptions { context: 512, max_sequences: 2, prefill_chunk: 96, ..options() };
    let (mut engine, _) = load_chain(&model, &[1, 3], &options);
    let (expected, _) = chat(&mut engine);
    connect_chain(&mut engine, &model.path(), &[1, 3], &options);
    assert!(chat(&mut engine).0 == expected);
}
