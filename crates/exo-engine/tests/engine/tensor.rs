//! A model whose layers several ranks share says, bit for bit, what one rank says.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use exo_engine::{
    BatchPlan, Engine, EngineError, EngineOptions, LoadError, Prompt, RanksError, Share, StageWorker, TensorGroup, Work,
};
use exo_gguf::{GgmlType, GgufFile, GgufWriter};
use exo_kernels::Isa;
use exo_testkit::{Architecture, ModelSpec, TemporaryModel};
use proptest::prelude::*;

use crate::support::{generate, load, logits, options, request, run, tokens, write};

type Led = (Work, BatchPlan, Vec<f32>);

/// A group over channels.
struct Channels {
    rank: usize,
    leads: Vec<Sender<Led>>,
    /// By rank; nothing in the own place.
    to: Vec<Option<Sender<Vec<f32>>>>,
    from: Vec<Option<Receiver<Vec<f32>>>>,
}

impl Channels {
    fn send(&self, to: usize, own: &[f32]) -> Result<(), RanksError> {
        let sender = self.to[to].as_ref().ok_or("no way to itself")?;
        Ok(sender.send(own.to_vec()).map_err(|_| "the rank is gone")?)
    }

    fn receive(&self, from: usize) -> Result<Vec<f32>, RanksError> {
        let receiver = self.from[from].as_ref().ok_or("no way from itself")?;
        Ok(receiver.recv().map_err(|_| "the rank is gone")?)
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let rank = self.rank;
        (0..self.to.len()).filter(move |other| *other != rank)
    }

    fn collect(&self, parts: &[usize], whole: &mut [f32]) -> Result<(), RanksError> {
        for other in self.others() {
            let start = parts[..other].iter().sum::<usize>();
            whole[start..start + parts[other]].copy_from_slice(&self.receive(other)?);
        }
        Ok(())
    }
}

impl TensorGroup for Channels {
    fn lead(&mut self, work: Work, plan: &BatchPlan, rows: &[f32]) -> Result<(), RanksError> {
        let led = || (work, plan.clone(), rows.to_vec());
        self.leads.iter().try_for_each(|member| Ok(member.send(led()).map_err(|_| "a member is gone")?))
    }

    fn all_gather(&mut self, parts: &[usize], whole: &mut [f32]) -> Result<(), RanksError> {
        let start = parts[..self.rank].iter().sum::<usize>();
        self.others().try_for_each(|other| self.send(other, &whole[start..start + parts[self.rank]]))?;
        self.collect(parts, whole)
    }

    fn gather(&mut self, parts: &[usize], whole: &mut [f32]) -> Result<(), RanksError> {
        let start = parts[..self.rank].iter().sum::<usize>();
        match self.rank {
            0 => self.collect(parts, whole),
            rank => self.send(0, &whole[start..start + parts[rank]]),
        }
    }
}

/// Groups of ranks that know each other, and what comes to those that do not lead.
fn groups(size: usize) -> (Vec<Channels>, Vec<Receiver<Led>>) {
    let (leads, led): (Vec<_>, Vec<_>) = (1..size).map(|_| channel()).unzip();
    let mut groups: Vec<Channels> = (0..size)
        .map(|rank| Channels {
            rank,
            leads: if rank == 0 { leads.clone() } else { Vec::new() },
            to: (0..size).map(|_| None).collect(),
            from: (0..size).map(|_| None).collect(),
        })
        .collect();
    for from in 0..size {
        for to in (0..size).filter(|to| *to != from) {
            let (sender, receiver) = channel();
            groups[from].to[to] = Some(sender);
            groups[to].from[from] = Some(receiver);
        }
    }
    (groups, led)
}

fn of_rank(options: &EngineOptions, rank: usize, size: usize) -> EngineOptions {
    EngineOptions { threads: 1, share: Share { rank, size }, ..options.clone() }
}

/// An engine that shares all layers with `size - 1` threads.
pub fn shared(model: &TemporaryModel, options: &EngineOptions, size: usize) -> Engine {
    shared_over(&vec![model; size], options)
}

/// The same where each rank has a file of its own.
pub fn shared_over(models: &[&TemporaryModel], options: &EngineOptions) -> Engine {
    let mut engine = load(models[0], &of_rank(options, 0, models.len()));
    if models.len() > 1 {
        connect_members(&mut engine, models, options);
    }
    engine
}

/// Starts the other ranks; they end with the engine.
fn connect_members(engine: &mut Engine, models: &[&TemporaryModel], options: &EngineOptions) {
    let (groups, led) = groups(models.len());
    let mut groups = groups.into_iter();
    let own = groups.next().expect("at least one");
    for ((rank, group), led) in (1..).zip(groups).zip(led) {
        let options = of_rank(options, rank, models.len());
        let mut member = StageWorker::load(&models[rank].path(), &options, &mut |_| {}).expect("a valid model");
        member.connect(Box::new(group));
        thread::spawn(move || {
            // A step that fails here fails at the leader too.
            led.into_iter().all(|(work, plan, mut rows): Led| member.run_step(work, &plan, &mut rows).is_ok())
        });
    }
    engine.connect(Some(Box::new(own)), None);
}

fn check(spec: &ModelSpec, sizes: impl IntoIterator<Item = usize>) {
    check_on(spec, &options(), sizes);
}

fn check_on(spec: &ModelSpec, options: &EngineOptions, sizes: impl IntoIterator<Item = usize>) {
    let model = write(spec);
    let prompt = tokens(3, 60);
    let mut alone = load(&model, options);
    let expect = logits(&mut alone, &prompt);
    let answer = generate(&mut alone, prompt.clone(), 20);
    for size in sizes {
        let mut engine = shared(&model, options, size);
        assert!(logits(&mut engine, &prompt) == expect, "{size} ranks of {spec:?}");
        assert_eq!(generate(&mut engine, prompt.clone(), 20), answer, "{size} ranks of {spec:?}");
    }
}

#[test]
fn any_number_of_ranks_gives_the_same_bits() {
    check(&ModelSpec { heads: 8, kv_heads: 4, ..ModelSpec::default() }, 1..=8);
}

#[test]
fn ranks_may_share_keys() {
    check(&ModelSpec { heads: 6, kv_heads: 2, ..ModelSpec::default() }, [2, 3, 4, 6]);
}

#[test]
fn a_tied_head_and_a_vocabulary_that_nothing_divides_are_shared_too() {
    check(&ModelSpec { tied: true, vocabulary: 301, ..ModelSpec::default() }, [2, 3]);
}

#[test]
fn requests_in_a_batch_are_shared() {
    let model = write(&ModelSpec::default());
    let mut alone = load(&model, &options());
    let mut engine = shared(&model, &options(), 3);
    for engine in [&mut alone, &mut engine] {
        for id in 0..6 {
            engine.submit(request(id, Prompt::Tokens(tokens(id as u32, 9 + id as u32)), 12)).expect("accepted");
        }
    }
    assert_eq!(run(&mut engine), run(&mut alone));
}

#[test]
fn more_ranks_than_heads_are_refused() {
    let model = write(&ModelSpec { heads: 4, kv_heads: 2, ..ModelSpec::default() });
    let options = EngineOptions { share: Share { rank: 0, size: 5 }, ..options() };
    let refused = Engine::load(&model.path(), &options, &mut |_| {}).map(drop);
    assert!(matches!(refused, Err(LoadError::Share { size: 5, heads: 4, .. })), "{refused:?}");
}

#[test]
fn every_architecture_is_shared_with_every_instruction_set() {
    for architecture in Architecture::DECODERS {
        let spec = ModelSpec { matrices: GgmlType::Q8_0, ..ModelSpec::of(architecture) };
        for isa in Isa::available() {
            check_on(&spec, &EngineOptions { isa: Some(isa), ..options() }, [2, 3]);
        }
    }
}

#[test]
fn every_kind_of_weights_is_shared() {
    let types = [GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q4_0, GgmlType::Q4_K, GgmlType::Q6_K];
    for matrices in types.into_iter().chain([GgmlType::Q5_1, GgmlType::MXFP4]) {
        let spec = ModelSpec { hidden: 256, heads: 8, feed_forward: 512, matrices, ..ModelSpec::default() };
        check(&spec, [2, 3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_shape_is_shared_by_any_number_of_ranks(
        (kv_heads, group) in (1usize..5, 1usize..5),
        head_width in prop::sample::select(vec![16usize, 32, 64]),
        (hidden, feed_forward) in (1usize..9, 1usize..10),
        vocabulary in 270usize..700,
        (experts, tied) in (any::<bool>(), any::<bool>()),
        size in 1usize..6,
    ) {
        let heads = kv_heads * group;
        let spec = ModelSpec {
            heads,
            kv_heads,
            head_width,
            hidden: hidden * 32,
            feed_forward: feed_forward * 32,
            vocabulary,
            tied,
            layers: 2,
            experts: experts.then_some((4, 2)),
            ..ModelSpec::default()
        };
        check(&spec, [size.min(heads)]);
    }
}

/// Everything but its half of the rows of every matrix becomes what is no number.
fn keep_half(spec: &ModelSpec, rank: usize) -> TemporaryModel {
    let model = write(spec);
    let file = GgufFile::open(&model.path()).expect("valid");
    let mut writer = GgufWriter::new();
    file.metadata().iter().for_each(|(key, value)| _ = writer.set(key, value.clone()));
    for tensor in file.tensors() {
        let mut bytes = tensor.bytes.to_vec();
        let half = bytes.len() / 2;
        let is_matrix = tensor.shape.len() > 1;
        match tensor.name {
            // The first rank needs all of it, and no other any.
            "token_embd.weight" if rank > 0 => bytes.fill(0xff),
            "token_embd.weight" => {}
            _ if is_matrix && rank == 0 => bytes[half..].fill(0xff),
            _ if is_matrix => bytes[..half].fill(0xff),
            _ => {}
        }
        writer.tensor(tensor.name, tensor.dtype, tensor.shape, bytes);
    }
    writer.write(&model.path()).expect("writes");
    model
}

#[test]
fn a_rank_reads_its_own_rows_only() {
    // Two ranks have halves of all rows of this shape.
    let spec = ModelSpec { vocabulary: 320, ..ModelSpec::default() };
    let (mut alone, prompt) = (load(&write(&spec), &options()), tokens(3, 60));
    let halves = [keep_half(&spec, 0), keep_half(&spec, 1)];
    let mut engine = shared_over(&[&halves[0], &halves[1]], &options());
    assert_eq!(logits(&mut engine, &prompt), logits(&mut alone, &prompt));
    let mut wrong = shared_over(&[&halves[0], &halves[0]], &options());
    wrong.submit(request(1, Prompt::Tokens(prompt), 1)).expect("accepted");
    wrong.step().expect_err("the second has the rows of the first");
}

#[test]
fn a_rank_that_is_gone_fails_the_step_and_another_takes_its_place() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &of_rank(&options(), 0, 2));
    engine.submit(request(1, Prompt::Tokens(tokens(1, 9)), 5)).expect("accepted");
    let (mut groups, led) = groups(2);
    drop((groups.pop(), led));
    engine.connect(groups.pop().map(|group| Box::new(group) as Box<dyn TensorGroup>), None);
    let error = engine.step().expect_err("nobody computes the other half");
    assert!(matches!(&error, EngineError::NextStages { .. }), "{error}");
    assert_eq!(error.requests(), [1]);
    connect_members(&mut engine, &[&model, &model], &options());
    let expect = generate(&mut load(&model, &options()), tokens(1, 9), 5);
    assert_eq!(generate(&mut engine, tokens(1, 9), 5), expect);
}

#[test]
fn a_share_without_its_group_is_refused() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &of_rank(&options(), 0, 2));
    engine.submit(request(1, Prompt::Tokens(tokens(1, 9)), 5)).expect("accepted");
    let error = engine.step().expect_err("half a model computes nothing");
    assert!(matches!(&error, EngineError::NextStages { .. }), "{error}");
}
