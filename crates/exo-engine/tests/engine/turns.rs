//! Something urgent takes the place of something that is not, and changes no answer.

use std::collections::BTreeMap;

use exo_engine::{Engine, EngineOptions, GenerateRequest, Priority, Prompt, Turn};
use exo_testkit::ModelSpec;
use exo_text::Sampling;

use crate::{
    pipeline::load_chain,
    support::{Answer, collect, finish, load, options, request, run, tokens, write},
};

/// One with penalties and random numbers, so that all that it had said counts for what comes.
fn ask(id: u64, priority: Priority) -> GenerateRequest {
    let sampling = Sampling { temperature: 1.0, repetition_penalty: 1.3, seed: id, ..Sampling::default() };
    let turn = Turn { priority, client: id };
    let prompt = Prompt::Tokens(tokens(id as u32, 90));
    GenerateRequest { sampling, turn, ..request(id, prompt, 60) }
}

/// Two that nobody waits for, and after some steps two that are urgent; what came, and who ended in which order.
fn interrupted(mut engine: Engine) -> (BTreeMap<u64, Answer>, Vec<u64>) {
    let (mut answers, mut order) = (BTreeMap::new(), Vec::new());
    for id in [1, 2] {
        engine.submit(ask(id, Priority::Low)).expect("accepted");
    }
    for number in 0.. {
        match number {
            12 => drop(engine.submit(ask(3, Priority::High)).expect("accepted")),
            20 => drop(engine.submit(ask(4, Priority::Normal)).expect("accepted")),
            _ if engine.is_idle() => break,
            _ => {}
        }
        let outputs = engine.step().expect("computes");
        order.extend(outputs.iter().filter(|output| output.finish.is_some()).map(|output| output.id));
        collect(&mut answers, outputs);
    }
    finish(&mut engine, &mut answers);
    (answers, order)
}

#[test]
fn who_gives_way_says_what_it_would_have_said() {
    let model = write(&ModelSpec { layers: 3, ..ModelSpec::default() });
    for reuse in [true, false] {
        let options = EngineOptions { max_sequences: 1, context: 256, reuse, ..options() };
        let mut alone = load(&model, &options);
        let mut expected = BTreeMap::new();
        for id in 1..=4 {
            alone.submit(ask(id, Priority::Normal)).expect("accepted");
            expected.extend(run(&mut alone));
        }
        let two = EngineOptions { max_sequences: 2, ..options.clone() };
        let (chain, _) = load_chain(&model, &[1, 3], &two);
        let (answers, _) = interrupted(chain);
        assert_eq!(answers, expected, "two stages");
        let (answers, order) = interrupted(alone);
        assert_eq!(answers, expected, "alone");
        // Of the first two, the one for whom less was computed goes on first.
        assert_eq!(order, [3, 4, 2, 1]);
    }
}
