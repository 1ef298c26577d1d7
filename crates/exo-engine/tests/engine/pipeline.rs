//! A model in several stages, all in this process.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use exo_engine::{
    BatchPlan, BlockRestore, BlockShare, CacheMoves, Engine, EngineError, EngineOptions, Finish, LoadError, NextStages,
    PlanError, Prompt, RanksError, Rows, SequencePlan, StageError, StageWorker, Work,
};
use exo_gguf::GgmlType;
use exo_kernels::Isa;
use exo_testkit::{ModelSpec, TemporaryModel};

use crate::support::{generate, load, options, request, run, tokens, write};

/// The stages after the first, one call after the other.
struct Chain {
    workers: Vec<StageWorker>,
    is_broken: Arc<AtomicBool>,
    /// What comes of the steps that were sent.
    sent: VecDeque<(BatchPlan, Vec<f32>)>,
    /// Most of them at a time.
    most_sent: Arc<AtomicUsize>,
}

impl Chain {
    fn check(&self) -> Result<(), RanksError> {
        if self.is_broken.load(Ordering::Relaxed) { Err("the link is gone".into()) } else { Ok(()) }
    }
}

impl NextStages for Chain {
    fn stages(&self) -> usize {
        self.workers.len() + 1
    }

    fn send(&mut self, plan: &BatchPlan, hidden: &[f32]) -> Result<(), RanksError> {
        self.check()?;
        let decode = |plan: &BatchPlan| {
            plan.sequences.iter().filter(|s| s.rows == Rows::Last && s.tokens == 1).map(|s| s.slot).collect::<Vec<_>>()
        };
        let twice = self.sent.iter().any(|(sent, _)| decode(sent).iter().any(|slot| decode(plan).contains(slot)));
        assert!(!twice, "a token is computed before it is known");
        let mut hidden = hidden.to_vec();
        self.workers.iter_mut().try_for_each(|worker| worker.run_step(Work::Layers, plan, &mut hidden))?;
        self.sent.push_back((plan.clone(), hidden));
        self.most_sent.fetch_max(self.sent.len(), Ordering::Relaxed);
        Ok(())
    }

    fn receive(&mut self, plan: &BatchPlan) -> Result<Vec<f32>, RanksError> {
        self.check()?;
        // What was sent before the link broke is of no use any more.
        self.sent.retain(|(sent, _)| sent.step >= plan.step);
        let (sent, rows) = self.sent.pop_front().ok_or("nothing was sent")?;
        assert_eq!(&sent, plan, "in order");
        Ok(rows)
    }
}

pub fn load_chain(model: &TemporaryModel, cuts: &[usize], options: &EngineOptions) -> (Engine, Arc<AtomicBool>) {
    load_chain_at(&model.path(), cuts, options)
}

pub fn load_chain_at(path: &Path, cuts: &[usize], options: &EngineOptions) -> (Engine, Arc<AtomicBool>) {
    let (engine, is_broken, _) = load_watched(path, cuts, options);
    (engine, is_broken)
}

/// A chain, what breaks it, and how many steps were sent and not received at most.
fn load_watched(path: &Path, cuts: &[usize], options: &EngineOptions) -> (Engine, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let first = EngineOptions { layers: Some(0..cuts[0]), ..options.clone() };
    let mut engine = Engine::load(path, &first, &mut |_| {}).expect("a valid stage");
    let (is_broken, most_sent) = connect_chain(&mut engine, path, cuts, options);
    (engine, is_broken, most_sent)
}

/// Gives an engine new stages behind it.
pub fn connect_chain(
    engine: &mut Engine,
    path: &Path,
    cuts: &[usize],
    options: &EngineOptions,
) -> (Arc<AtomicBool>, Arc<AtomicUsize>) {
    let part = |start, end| EngineOptions { layers: Some(start..end), ..options.clone() };
    let worker = |pair: &[usize]| StageWorker::load(path, &part(pair[0], pair[1]), &mut |_| {});
    let workers = cuts.windows(2).map(worker).collect::<Result<_, _>>().expect("valid stages");
    let (is_broken, most_sent) = (Arc::default(), Arc::default());
    let chain =
        Chain { workers, is_broken: Arc::clone(&is_broken), sent: VecDeque::new(), most_sent: Arc::clone(&most_sent) };
    engine.connect(None, Some(Box::new(chain)));
    (is_broken, most_sent)
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
    let expected = submit(&mut load(&model, &options()));
    for cuts in [&[1, 3][..], &[1, 2, 3]] {
        let (mut engine, _, most_sent) = load_watched(&model.path(), cuts, &options());
        assert_eq!(submit(&mut engine), expected);
        assert_eq!(most_sent.load(Ordering::Relaxed), cuts.len(), "all stages have a step");
    }
}

#[test]
fn the_chunks_of_a_prompt_follow_each_other_through_the_stages() {
    let model = write(&ModelSpec::default());
    let options = EngineOptions { max_sequences: 1, ..options() };
    let expected = generate(&mut load(&model, &options), tokens(8, 100), 3);
    let (mut engine, _, most_sent) = load_watched(&model.path(), &[1, 3], &options);
    assert_eq!(generate(&mut engine, tokens(8, 100), 3), expected);
    assert_eq!(most_sent.load(Ordering::Relaxed), 2);
}

#[test]
fn a_request_that_is_cancelled_while_its_step_is_under_way_leaves_the_others_as_they_are() {
    let model = write(&ModelSpec::default());
    let options = EngineOptions { max_sequences: 2, ..options() };
    let expected = generate(&mut load(&model, &options), tokens(3, 30), 8);
    let (mut engine, _) = load_chain(&model, &[1, 3], &options);
    for id in 1..=3 {
        engine.submit(request(id, Prompt::Tokens(tokens(id as u32, 30)), 8)).expect("accepted");
    }
    for _ in 0..5 {
        engine.step().expect("a step");
    }
    engine.cancel(1);
    let answers = run(&mut engine);
    assert_eq!(answers[&3].tokens, expected, "it has the slot of the cancelled one");
    assert!(engine.is_idle());
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
        let error = worker
            .run_step(Work::Layers, &BatchPlan { step: 5, sequences, ..BatchPlan::default() }, &mut vec![0.0; values])
            .expect_err(expect);
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
    worker
        .run_step(Work::Layers, &BatchPlan { step: 6, sequences, ..BatchPlan::default() }, &mut hidden)
        .expect("fits");
    assert_eq!(hidden.len(), 128, "the last rank sends back the rows that the head needs");
}

#[test]
fn a_worker_refuses_blocks_that_it_does_not_have_and_changes_nothing() {
    let model = write(&ModelSpec::default());
    let options = EngineOptions { layers: Some(1..3), prefill_chunk: 80, ..options() };
    let mut worker = StageWorker::load(&model.path(), &options, &mut |_| {}).expect("valid");
    let mut step = |moves: CacheMoves, (slot, start, tokens): (u32, u32, u32)| {
        let sequences = vec![SequencePlan { slot, start, tokens, rows: Rows::Last }];
        let plan = BatchPlan { step: 1, sequences, moves };
        worker.run_step(Work::Layers, &plan, &mut vec![0.5; tokens as usize * 128])
    };
    let share = |slot, part, block| BlockShare { slot, part, block };
    let shares = |shares: &[BlockShare]| CacheMoves { shares: shares.to_vec(), ..CacheMoves::default() };
    let restores = |slot, blocks: &[u32]| CacheMoves {
        restores: vec![BlockRestore { slot, blocks: blocks.to_vec() }],
        ..CacheMoves::default()
    };
    step(CacheMoves::default(), (0, 0, 80)).expect("fits");
    let too_many: Vec<_> = (0..17).map(|block| share(0, 0, block)).collect();
    for (moves, expect) in [
        (shares(&[share(4, 0, 1)]), "the slot"),
        (shares(&[share(0, 1, 1)]), "the positions"),
        (shares(&[share(0, u32::MAX, 1)]), "the positions"),
        (shares(&too_many), "the room"),
        (restores(4, &[]), "the slot"),
        (restores(1, &[9]), "the block"),
        (CacheMoves { clears: true, ..restores(1, &[9]) }, "the block"),
    ] {
        let error = step(moves, (0, 80, 1)).expect_err(expect);
        assert!(matches!(error, StageError::Plan(PlanError::Block { .. })) && error.to_string().contains(expect));
    }
    step(shares(&[share(0, 0, 7)]), (0, 80, 1)).expect("it has them");
    let error = step(restores(1, &[7, 7, 7]), (1, 64, 1)).expect_err("three times 64 of 128");
    assert!(error.to_string().contains("the room"), "{error}");
    let error = step(restores(1, &[7]), (1, 65, 1)).expect_err("a gap");
    assert!(error.to_string().contains("holds 64 positions"), "{error}");
    step(restores(1, &[7]), (1, 64, 1)).expect("it has them");
    step(CacheMoves { drops: vec![7, 8], ..CacheMoves::default() }, (1, 65, 1)).expect("8 was none");
    let error = step(restores(2, &[7]), (2, 64, 1)).expect_err("it is gone");
    assert!(error.to_string().contains("the block"), "{error}");
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
