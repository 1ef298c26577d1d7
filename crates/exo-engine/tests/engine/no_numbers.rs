//! Weights and neighbours that bring what is no number.

use exo_engine::{BatchPlan, EngineError, EngineOptions, Prompt, Rows, SequencePlan, StageError, StageWorker, Work};
use exo_gguf::{GgufFile, GgufWriter};
use exo_testkit::{ModelSpec, TemporaryModel};

use crate::support::{load, options, request, tokens, write};

/// Replaces the first number of a tensor.
fn spoil(model: &TemporaryModel, name: &str, number: f32) {
    let file = GgufFile::open(&model.path()).expect("valid");
    let mut writer = GgufWriter::new();
    file.metadata().iter().for_each(|(key, value)| _ = writer.set(key, value.clone()));
    for tensor in file.tensors() {
        let mut bytes = tensor.bytes.to_vec();
        if tensor.name == name {
            bytes[..4].copy_from_slice(&number.to_le_bytes());
        }
        writer.tensor(tensor.name, tensor.dtype, tensor.shape, bytes);
    }
    writer.write(&model.path()).expect("writes");
}

#[test]
fn a_broken_weight_fails_the_request_and_says_where() {
    for (tensor, number) in [
        ("blk.1.attn_norm.weight", f32::NAN),
        ("blk.2.ffn_down.weight", f32::INFINITY),
        ("token_embd.weight", f32::NAN),
    ] {
        let model = write(&ModelSpec::default());
        spoil(&model, tensor, number);
        let mut engine = load(&model, &options());
        engine.submit(request(7, Prompt::Tokens(vec![0; 3]), 5)).expect("accepted");
        let error = engine.step().expect_err(tensor);
        assert_eq!(error.requests(), [7]);
        let is_named = matches!(&error, EngineError::Stage { cause: StageError::NotFinite { .. }, .. });
        assert!(is_named && error.to_string().contains("no numbers"), "{tensor}: {error}");
        assert!(engine.is_idle());
    }
}

#[test]
fn what_a_neighbour_sends_is_refused_before_it_reaches_the_cache() {
    let model = write(&ModelSpec::default());
    let options = EngineOptions { layers: Some(1..3), ..options() };
    let mut worker = StageWorker::load(&model.path(), &options, &mut |_| {}).expect("valid");
    let mut run = |hidden: &[f32]| {
        let sequences = vec![SequencePlan { slot: 1, start: 0, tokens: 3, rows: Rows::Last }];
        worker.run_step(Work::Layers, &BatchPlan { step: 1, sequences, ..BatchPlan::default() }, &mut hidden.to_vec())
    };
    let mut hidden = vec![0.5; 3 * 128];
    hidden[200] = f32::NAN;
    let error = run(&hidden).expect_err("no number");
    assert_eq!(error, StageError::NotFinite { slot: 1, position: 1, origin: "came as" });
    hidden[200] = 0.5;
    run(&hidden).expect("numbers");
}

#[test]
fn a_model_that_was_refused_once_answers_the_next_request() {
    let model = write(&ModelSpec::default());
    // Token 0 has a broken embedding, the others do not.
    spoil(&model, "token_embd.weight", f32::NAN);
    let mut engine = load(&model, &options());
    engine.submit(request(1, Prompt::Tokens(vec![5, 0, 6]), 5)).expect("accepted");
    engine.step().expect_err("no number");
    let prompt = tokens(1, 20).into_iter().map(|token| token.max(1)).collect();
    engine.submit(request(2, Prompt::Tokens(prompt), 1)).expect("accepted");
    while !engine.is_idle() {
        engine.step().expect("numbers");
    }
}
