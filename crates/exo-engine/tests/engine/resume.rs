//! An answer that goes on in another engine is the answer that one engine gives.

use exo_engine::{Engine, Finish, GenerateRequest, Output, Prompt, SubmitError, Usage};
use exo_testkit::ModelSpec;
use exo_text::Sampling;

use crate::support::{load, options, request, write};

fn outputs(engine: &mut Engine, request: GenerateRequest) -> Vec<Output> {
    engine.submit(request).expect("accepted");
    let mut outputs = Vec::new();
    while !engine.is_idle() {
        outputs.extend(engine.step().expect("computes"));
    }
    outputs
}

fn text(outputs: &[Output]) -> String {
    outputs.iter().map(|output| output.text.as_str()).collect()
}

fn tokens(outputs: &[Output]) -> Vec<u32> {
    outputs.iter().flat_map(|output| output.token_ids.clone()).collect()
}

fn end(outputs: &[Output]) -> (Option<Finish>, Usage) {
    let last = outputs.last().expect("an answer has an end");
    (last.finish.clone(), Usage { cached_tokens: 0, ..last.usage })
}

/// Asks one engine for all, and another to go on behind every token.
fn check(change: impl FnOnce(&mut GenerateRequest)) -> Vec<Output> {
    let model = write(&ModelSpec::default());
    let mut asked = request(1, Prompt::Text("Tell me.".into()), 40);
    change(&mut asked);
    let whole = outputs(&mut load(&model, &options()), asked.clone());
    let mut other = load(&model, &options());
    for told in 0..whole.len() {
        let answered = tokens(&whole[..told]);
        let rest = outputs(&mut other, GenerateRequest { answered, ..asked.clone() });
        assert_eq!(tokens(&rest), tokens(&whole[told..]), "behind {told} tokens");
        assert_eq!(text(&whole[..told]) + &text(&rest), text(&whole), "behind {told} tokens");
        assert_eq!(end(&rest), end(&whole), "behind {told} tokens");
    }
    whole
}

#[test]
fn a_greedy_answer_goes_on_behind_any_token() {
    assert_eq!(check(|_| {}).len(), 40);
}

#[test]
fn seeded_draws_and_penalties_go_on_where_they_were() {
    let sampling = |seed| Sampling {
        temperature: 1.5,
        repetition_penalty: 1.3,
        frequency_penalty: 0.4,
        presence_penalty: 0.2,
        penalty_window: 16,
        seed,
        ..Sampling::default()
    };
    let answers = [1, 2].map(|seed| tokens(&check(|request| request.sampling = sampling(seed))));
    assert_ne!(answers[0], answers[1], "the seed matters");
}

#[test]
fn a_stop_string_that_has_begun_is_finished() {
    let only_x = Sampling { logit_bias: [(u32::from(b'x'), 100.0)].into(), ..Sampling::default() };
    let stopped = check(|request| (request.sampling, request.stop) = (only_x.clone(), vec!["xxxxxxx".to_owned()]));
    assert_eq!((stopped.len(), end(&stopped).0), (7, Some(Finish::Stop)));
    let held_back = check(|request| (request.sampling, request.stop) = (only_x, vec!["xxxxxxxy".to_owned()]));
    assert_eq!(text(&held_back), "x".repeat(40));
}

#[test]
fn a_character_in_the_middle_is_finished() {
    // The two bytes of "é", again and again: the one is likely after the other.
    let bytes = "é".as_bytes();
    let bias = [(u32::from(bytes[0]), 60.0), (u32::from(bytes[1]), 60.0)];
    let sampling =
        Sampling { temperature: 1.0, logit_bias: bias.into(), frequency_penalty: 2.0, ..Sampling::default() };
    check(|request| request.sampling = sampling);
}

#[test]
fn an_answer_that_is_complete_does_not_go_on() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &options());
    let mut refused = |change: fn(&mut GenerateRequest)| {
        let mut request = request(1, Prompt::Text("a".into()), 4);
        change(&mut request);
        let error = engine.submit(request).expect_err("refused");
        assert!(engine.is_idle());
        error
    };
    let complete = |error, tokens| matches!(error, SubmitError::Complete { tokens: told } if told == tokens);
    assert!(complete(refused(|request| request.answered = vec![65; 4]), 4));
    assert!(complete(refused(|request| (request.answered, request.max_tokens) = (vec![65; 127], None)), 127));
    assert!(complete(refused(|request| (request.answered, request.stop) = (vec![65; 2], vec!["AA".to_owned()])), 2));
    assert!(matches!(refused(|request| request.answered = vec![272]), SubmitError::UnknownToken { token: 272, .. }));
}
