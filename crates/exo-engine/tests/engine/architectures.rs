//! Every architecture keeps the promises that Llama keeps; that it computes what it should is told by the comparison with
//! recorded results (`tests/reference`).

use exo_engine::{EngineOptions, Prompt};
use exo_gguf::GgmlType;
use exo_kernels::Isa;
use exo_testkit::{Architecture, ModelSpec};

use crate::{
    pipeline::load_chain,
    support::{generate, load, logits, options, request, run, tokens, write},
};

#[test]
fn every_architecture_gives_the_same_tokens_alone_in_a_batch_and_in_stages() {
    for architecture in Architecture::DECODERS {
        let spec = ModelSpec { matrices: GgmlType::Q8_0, ..ModelSpec::of(architecture) };
        let model = write(&spec);
        for isa in Isa::available() {
            let options = EngineOptions { isa: Some(isa), ..options() };
            let prompts: Vec<_> = (1..=3).map(|seed| tokens(seed, 9 + 14 * seed)).collect();
            let mut engine = load(&model, &options);
            let expected: Vec<_> = prompts.iter().map(|prompt| generate(&mut engine, prompt.clone(), 8)).collect();
            let (mut chain, _) = load_chain(&model, &[1, spec.layers], &options);
            for engine in [&mut engine, &mut chain] {
                for (id, prompt) in prompts.iter().enumerate() {
                    engine.submit(request(id as u64, Prompt::Tokens(prompt.clone()), 8)).expect("accepted");
                }
                let answers: Vec<_> = run(engine).into_values().map(|answer| answer.tokens).collect();
                assert_eq!(answers, expected, "{architecture:?} on {isa}");
            }
        }
    }
}

#[test]
fn chunks_and_threads_do_not_change_a_logit_of_any_architecture() {
    for architecture in Architecture::DECODERS {
        let model = write(&ModelSpec::of(architecture));
        let prompt = tokens(2, 50);
        let with = |prefill_chunk, threads| {
            logits(&mut load(&model, &EngineOptions { prefill_chunk, threads, ..options() }), &prompt)
        };
        let in_one_go = with(64, 1);
        assert!(with(7, 3) == in_one_go, "{architecture:?}");
        assert!(in_one_go.iter().flatten().all(|logit| logit.is_finite()), "{architecture:?}");
    }
}

#[test]
fn mixtral_is_llama_with_experts() {
    let model = write(&ModelSpec { experts: Some((4, 2)), ..ModelSpec::default() });
    let mut engine = load(&model, &options());
    assert_eq!(engine.config().experts.map(|experts| (experts.count, experts.used)), Some((4, 2)));
    assert_eq!(generate(&mut engine, tokens(3, 20), 5).len(), 5);
}

#[test]
fn windows_follow_the_layers() {
    let check = |architecture, expect: &[Option<usize>]| {
        let model = write(&ModelSpec::of(architecture));
        let engine = load(&model, &options());
        let windows: Vec<_> = (0..expect.len()).map(|layer| engine.config().window_of(layer)).collect();
        assert_eq!(windows, expect, "{architecture:?}");
    };
    let some = Some(20);
    check(Architecture::Llama, &[None; 3]);
    check(Architecture::Mistral, &[some; 3]);
    check(Architecture::Gemma2, &[some, None, some]);
    check(Architecture::GptOss, &[some, None, some]);
    check(Architecture::Gemma3, &[some, some, some, some, some, None, some]);
}
