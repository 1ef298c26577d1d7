//! A model in several stages, all in this process.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use exo_engine::{
    BatchPlan, Engine, EngineError, EngineOptions, Finish, LoadError, NextStages, Prompt, RanksError, Rows,
    SequencePlan, StageError, StageWorker, Work,
};
use exo_gguf::GgmlType;
use exo_kernels::Isa;
use exo_testkit::{ModelSpec, TemporaryModel};

use crate::support::{generate, load, options, request, run, tokens, write};

/// The stages after the first, one call after the other.
struct Chain {
    workers: Vec<StageWorker>,
    is_broken: Arc<AtomicBool>,
}

impl NextStages for Chain {
    fn run(&mut self, plan: &BatchPlan, hidden: &mut Vec<f32>) -> Result<(), RanksError> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err("the link is gone".into());
        }
        self.workers.iter_mut().try_for_each(|worker| worker.run_step(Work::Layers, plan, hidden).map_err(Into::into))
    }
}

pub fn load_chain(model: &TemporaryModel, cuts: &[usize], options: &EngineOptions) -> (Engine, Arc<AtomicBool>) {
    load_chain_at(&model.path(), cuts, options)
}

pub fn load_chain_at(path: &Path, cuts: &[usize], options: &EngineOptions) -> (Engine, Arc<AtomicBool>) {
    let part = |start, end| EngineOptions { layers: Some(start..end), ..options.clone() };
    let worker = |pair: &[usize]| StageWorker::load(path, &part(pair[0], pair[1]), &mut |_| {});
    let workers = cuts.windows(2).map(worker).collect::<Result<_, _>>().expect("valid stages");
    let mut engine = Engine::load(path, &part(0, cuts[0]), &mut |_| {}).expect("a valid stage");
    let is_broken = Arc::new(AtomicBool::new(false));
    engine.connect(None, Some(Box::new(Chain { workers, is_broken: Arc::clone(&is_broken) })));
    (engine, is_broken)
}

#[test]
fn stages_give_the_tokens_of_the_whole_model() {
    for format in [GgmlType::F32, GgmlType::Q4_0] {
        let model = write(&ModelSpec { matrices: format, tied: true, ..ModelSpec::default() });
        for isa in Isa::available() {
            let options = EngineOptions { isa: Some(isa), ..options() };
            let expected = generate(&mut load(&model, &options), tokens(6, 37), 16);
            for cuts in [&[1, 3][..], &[2, 3], &[1, 2, 3]] {
                let (mut engine, _) = load_chain(&model, cuts, &options);
                assert_eq!(generate(&mut engine, tokens(6, 37), 16), expected, "{isa} {format} {cuts:?}");
            }
        }
    }
}

#[test]
fn a_part_of_a_model_never_answers_alone() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &EngineOptions { layers: Some(0..2), ..options() });
    engine.submit(request(1, Prompt::Text("a".into()), 5)).expect("accepted");
    let error = engine.step().expect_err("two layers of three").to_string();
    assert!(error.contains("not connected"), "{error}");
}

#[test]
fn engines_and_workers_may_live_on_a_thread_of_their_own() {
    fn check<T: Send>() {}
    check::<Engine>();
    check::<StageWorker>();
}

#[test]
fn several_requests_share_the_stages() {
    let model = write(&ModelSpec::default());
    let submit = |engine: &mut Engine| {
        for seed in 0..6 {
            engine.submit(request(seed, Prompt::Tokens(tokens(seed as u32 + 1, 20)), 10)).expect("accepted");
        }
        run(engine)
    };
    let (mut engine, _) = load_chain(&model, &[1, 3], &options());
    assert_eq!(submit(&mut engine), submit(&mut load(&model, &options())));
}

#[test]
fn a_broken_link_fails_what_runs_and_the_next_request_succeeds_once_it_is_back() {
    let model = write(&ModelSpec::default());
    let (mut engine, is_broken) = load_chain(&model, &[1, 3], &EngineOptions { max_sequences: 1, ..options() });
    let expected = generate(&mut load(&model, &options()), tokens(1, 20), 5);
    engine.submit(request(1, Prompt::Tokens(tokens(1, 20)), 5)).expect("accepted");
    engine.submit(request(2, Prompt::Tokens(tokens(1, 20)), 5)).expect("accepted");
    engine.step().expect("the first chunk");
    is_broken.store(true, Ordering::Relaxed);
    let error = engine.step().expect_err("the link is gone");
    assert_eq!(error.requests(), [1]);
    assert!(matches!(error, EngineError::NextStages { .. }) && error.to_string().contains("the link is gone"));
    is_broken.store(false, Ordering::Relaxed);
    let answers = run(&mut engine);
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&2]);
    assert_eq!((&answers[&2].tokens, &answers[&2].finish), (&expected, &Some(Finish::Length)));
}

#[test]
fn a_worker_refuses_plans_and_values_that_do_not_fit() {
    let model = write(&ModelSpec::default());
    let options = EngineOptions { layers: Some(1..3), ..options() };
    let mut worker = StageWorker::load(&model.path(), &options, &mut |_| {}).expect("valid");
    let mut check = |slot, start, tokens, values, expect: &str| {
        let sequences = vec![SequencePlan { slot, start, tokens, rows: Rows::Last }];
        let error =
            worker.run_step(Work::Layers, &BatchPlan { step: 5, sequences }, &mut vec![0.0; values]).expect_err(expect);
        assert!(error.to_string().contains(expect), "{error}");
        assert!(matches!(error, StageError::Plan(_)));
    };
    check(0, 0, 2, 128, "needs 256 values, 128 came");
    check(4, 0, 1, 128, "slot 4");
    check(0, 127, 2, 256, "position 129");
    check(0, 3, 1, 128, "holds 0 positions");
    check(0, 0, 21, 21 * 128, "21 tokens");
    check(0, 0, 0, 0, "no tokens");
    let sequences = vec![SequencePlan { slot: 0, start: 0, tokens: 2, rows: Rows::Last }];
    let mut hidden = vec![0.5; 256];
    worker.run_step(Work::Layers, &BatchPlan { step: 6, sequences }, &mut hidden).expect("fits");
    assert_eq!(hidden.len(), 128, "the last rank sends back the rows that the head needs");
}

#[test]
fn ranks_hold_the_layers_that_they_may() {
    let model = write(&ModelSpec::default());
    let check = |start, end, first: bool| {
        let options = EngineOptions { layers: Some(start..end), ..options() };
        let error = match first {
            true => Engine::load(&model.path(), &options, &mut |_| {}).err(),
            false => StageWorker::load(&model.path(), &options, &mut |_| {}).err(),
        };
        assert!(matches!(error, Some(LoadError::Layers { layers: 3, .. })), "{start}..{end}: {error:?}");
    };
    check(1, 3, true);
    check(0, 4, true);
    check(0, 0, true);
    check(0, 3, false);
    check(3, 3, false);
    check(2, 9, false);
}
