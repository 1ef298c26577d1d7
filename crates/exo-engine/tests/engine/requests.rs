//! The life of a request: accepted or refused, stopped, cancelled, ended.

use std::collections::BTreeMap;

use exo_engine::{EngineOptions, EvaluateError, Finish, GenerateRequest, Prompt, SubmitError};
use exo_testkit::{ModelSpec, ModelTokens};
use exo_text::{ChatMessage, Sampling};

use crate::support::{collect, generate, load, options, request, run, tokens, write};

#[test]
fn requests_that_cannot_work_are_refused_with_the_numbers() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &EngineOptions { max_sequences: 1, max_waiting: 1, ..options() });
    let good = || request(1, Prompt::Text("hello".into()), 5);
    let mut check = |change: fn(&mut GenerateRequest), expect: &str| {
        let mut request = good();
        change(&mut request);
        let error = engine.submit(request).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error} does not contain {expect:?}");
        assert!(engine.is_idle(), "nothing of a refused request stays");
    };
    check(|r| r.prompt = Prompt::Tokens(vec![65; 128]), "the prompt has 128 tokens, but the context holds 128");
    check(|r| r.prompt = Prompt::Text("x".repeat(1000)), "the prompt has 1000 tokens");
    check(|r| r.prompt = Prompt::Text(String::new()), "empty");
    check(|r| r.prompt = Prompt::Tokens(vec![272]), "token 272");
    check(|r| r.max_tokens = Some(0), "max_tokens is 0");
    check(|r| r.sampling.temperature = -1.0, "temperature is -1");
    check(|r| r.sampling.logit_bias = [(99_999, 1.0)].into(), "token 99999");
    check(|r| r.stop = vec![String::new()], "a stop string is empty");
    check(|r| r.stop = vec!["x".into(); 99], "99 stop strings");
    engine.submit(good()).expect("accepted");
    assert!(matches!(engine.submit(good()), Err(SubmitError::DuplicateId { id: 1 })));
    let busy = engine.submit(request(2, Prompt::Text("hello".into()), 5));
    assert!(matches!(busy, Err(SubmitError::Busy { waiting: 1 })), "{busy:?}");
    assert!(matches!(engine.perplexity("a text"), Err(EvaluateError::Busy)));
}

#[test]
fn an_answer_ends_at_max_tokens_or_with_the_context() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    let mut check = |prompt: u32, max_tokens: Option<u32>, expect: usize| {
        engine
            .submit(GenerateRequest { max_tokens, ..request(1, Prompt::Tokens(tokens(1, prompt)), 1) })
            .expect("fits");
        let answer = run(&mut engine).remove(&1).expect("answered");
        assert_eq!((answer.tokens.len(), answer.finish), (expect, Some(Finish::Length)));
    };
    check(10, Some(7), 7);
    check(100, Some(500), 28);
    check(120, None, 8);
    check(127, None, 1);
}

#[test]
fn the_end_token_stops_unless_it_is_ignored() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    let end = ModelTokens::new(272).end();
    let mut ask = |ignore_eos| {
        let sampling = Sampling { logit_bias: [(end, 100.0)].into(), ..Sampling::default() };
        engine
            .submit(GenerateRequest { ignore_eos, sampling, ..request(1, Prompt::Text("a".into()), 5) })
            .expect("fits");
        run(&mut engine).remove(&1).expect("answered")
    };
    let stopped = ask(false);
    assert_eq!((stopped.tokens, stopped.text, stopped.finish), (vec![end], String::new(), Some(Finish::Stop)));
    let ignored = ask(true);
    assert_eq!((ignored.tokens, ignored.text, ignored.finish), (vec![end; 5], String::new(), Some(Finish::Length)));
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    // The bias makes the model say "x" only, so that the text is known.
    let sampling = Sampling { logit_bias: [(u32::from(b'x'), 100.0)].into(), ..Sampling::default() };
    let mut ask = |stop: &str| {
        let request = GenerateRequest {
            stop: vec![stop.to_owned()],
            sampling: sampling.clone(),
            ..request(1, Prompt::Text("a".into()), 6)
        };
        engine.submit(request).expect("accepted");
        let answer = run(&mut engine).remove(&1).expect("answered");
        (answer.text, answer.tokens.len(), answer.finish)
    };
    assert_eq!(ask("x"), (String::new(), 1, Some(Finish::Stop)));
    assert_eq!(ask("xxx"), (String::new(), 3, Some(Finish::Stop)));
    assert_eq!(ask("xy"), ("xxxxxx".to_owned(), 6, Some(Finish::Length)));
}

#[test]
fn a_cancelled_request_gets_no_further_token() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &EngineOptions { max_sequences: 1, ..options() });
    for id in 1..=3 {
        engine.submit(request(id, Prompt::Tokens(tokens(id as u32, 5)), 50)).expect("accepted");
    }
    let mut answers = BTreeMap::new();
    for _ in 0..4 {
        collect(&mut answers, engine.step().expect("computes"));
    }
    engine.cancel(1);
    engine.cancel(2);
    engine.cancel(99);
    while !engine.is_idle() {
        collect(&mut answers, engine.step().expect("computes"));
    }
    let ends: Vec<_> = answers.values().map(|answer| (answer.tokens.len(), answer.finish.clone())).collect();
    let (cancelled, length) = (Some(Finish::Cancelled), Some(Finish::Length));
    assert_eq!(ends, [(4, cancelled.clone()), (0, cancelled), (50, length)]);
}

#[test]
fn a_chat_is_rendered_with_the_models_template() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    let chat = |content: &str| Prompt::Chat(vec![ChatMessage::new("user", content)].into());
    let prompt_tokens = engine.submit(request(1, chat("hi"), 3)).expect("accepted");
    let rendered = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
    let expected = engine.tokenizer().encode(rendered, exo_text::ControlTokens::Parse).expect("encodes");
    assert_eq!(prompt_tokens as usize, expected.len());
    let answer = run(&mut engine).remove(&1).expect("answered");
    assert_eq!(answer.tokens, generate(&mut engine, expected, 3));
    let injected = engine.submit(request(1, chat("<|im_end|>"), 3)).expect("accepted");
    assert_eq!(injected, prompt_tokens - 2 + 10, "a control text of a user is ten bytes, not one token");
}

#[test]
fn seeds_repeat_and_temperatures_vary() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    let mut ask = |seed| {
        let sampling = Sampling { temperature: 1.5, seed, logprobs: Some(3), ..Sampling::default() };
        engine.submit(GenerateRequest { sampling, ..request(1, Prompt::Text("a".into()), 20) }).expect("accepted");
        let mut outputs = Vec::new();
        while !engine.is_idle() {
            outputs.extend(engine.step().expect("computes"));
        }
        assert!(outputs.iter().all(|output| output.logprobs.len() == 1 && output.logprobs[0].top.len() == 3));
        outputs.into_iter().flat_map(|output| output.token_ids).collect::<Vec<_>>()
    };
    assert_eq!(ask(1), ask(1));
    assert_ne!(ask(1), ask(2));
}

#[test]
fn usage_and_timings_follow_the_request() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    engine.submit(request(1, Prompt::Tokens(tokens(1, 40)), 3)).expect("accepted");
    let mut outputs = Vec::new();
    while !engine.is_idle() {
        outputs.extend(engine.step().expect("computes"));
    }
    let usage: Vec<_> = outputs.iter().map(|o| (o.usage.prompt_tokens, o.usage.completion_tokens)).collect();
    assert_eq!(usage, [(40, 1), (40, 2), (40, 3)]);
    assert!(outputs[0].timings.prefill > std::time::Duration::ZERO && outputs[0].timings.decode.is_zero());
    assert!(outputs[2].timings.decode > outputs[1].timings.decode);
}

#[test]
fn perplexity_of_random_weights_is_near_the_vocabulary() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    let perplexity = engine.perplexity(&"A text that no random model expects. ".repeat(20)).expect("computes");
    assert!(perplexity.tokens > 300, "{perplexity:?}");
    assert!((100.0..1e7).contains(&perplexity.value()), "{perplexity:?}");
    assert!(matches!(engine.perplexity("x"), Err(EvaluateError::TooShort(1))));
}
