//! Answers that must match a grammar, from weights that know nothing of it.

use std::collections::BTreeMap;

use exo_engine::{Engine, EngineOptions, Finish, GenerateRequest, Output, Prompt, ReplyOptions, ToolChoice};
use exo_grammar::Grammar;
use exo_testkit::ModelSpec;
use exo_text::{Chat, ChatMessage, ChatTool, ReplyCall, Sampling};
use serde_json::{Value, json};

use crate::support::{collect, finish, load, options, request, run, write};

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": { "name": { "type": "string", "maxLength": 6 }, "n": { "type": "integer", "maximum": 99, "minimum": 0 } },
        "required": ["name", "n"],
        "additionalProperties": false,
    })
}

fn fits(value: &Value) -> bool {
    value["name"].as_str().is_some_and(|name| name.chars().count() <= 6) && value["n"].as_u64().is_some_and(|n| n <= 99)
}

fn constrained(id: u64, seed: u64, grammar: Grammar) -> GenerateRequest {
    let sampling = Sampling { temperature: 1.5, seed, ..Sampling::default() };
    let reply = ReplyOptions { grammar: Some(grammar), ..ReplyOptions::default() };
    let prompt = Prompt::Text("a".into());
    GenerateRequest { sampling, reply, ignore_eos: false, ..request(id, prompt, 400) }
}

fn json_request(id: u64, seed: u64) -> GenerateRequest {
    constrained(id, seed, Grammar::JsonSchema { schema: schema(), strict: true })
}

fn chat(tools: &[&str]) -> Prompt {
    let tool = |name: &&str| ChatTool { name: (*name).to_owned(), description: None, parameters: schema() };
    let messages = vec![ChatMessage::new("user", "hi")];
    Prompt::Chat(Chat { messages, tools: tools.iter().map(tool).collect(), ..Chat::default() })
}

fn roomy() -> EngineOptions {
    EngineOptions { context: 512, ..options() }
}

/// All calls of all requests, and how each ended.
fn run_calls(engine: &mut Engine) -> BTreeMap<u64, (Vec<ReplyCall>, Option<Finish>, String)> {
    let mut found: BTreeMap<u64, (Vec<ReplyCall>, Option<Finish>, String)> = BTreeMap::new();
    while !engine.is_idle() {
        for output in engine.step().expect("computes") {
            let Output { id, calls, finish, text, .. } = output;
            let entry = found.entry(id).or_default();
            entry.0.extend(calls);
            entry.1 = finish;
            entry.2 += &text;
        }
    }
    found
}

#[test]
fn whatever_the_weights_the_text_fits_the_schema() {
    for model_seed in 1..4 {
        let model = write(&ModelSpec { seed: model_seed, ..ModelSpec::default() });
        let mut engine = load(&model, &roomy());
        for seed in 0..4 {
            engine.submit(json_request(seed, seed)).expect("accepted");
        }
        for (id, answer) in run(&mut engine) {
            assert_eq!(answer.finish, Some(Finish::Stop), "{id}: {}", answer.text);
            let value: Value = serde_json::from_str(&answer.text).expect("JSON");
            assert!(fits(&value), "{id}: {value}");
        }
    }
}

#[test]
fn neighbours_in_the_batch_get_the_tokens_that_they_get_alone() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &roomy());
    let free = |id| request(id, Prompt::Text("b".into()), 60);
    engine.submit(free(1)).expect("accepted");
    let alone = run(&mut engine).remove(&1);
    engine.submit(json_request(2, 7)).expect("accepted");
    let constrained_alone = run(&mut engine).remove(&2);
    engine.submit(free(1)).expect("accepted");
    engine.submit(json_request(2, 7)).expect("accepted");
    engine.submit(json_request(3, 8)).expect("accepted");
    let mut together = run(&mut engine);
    assert_eq!(together.remove(&1), alone);
    assert_eq!(together.remove(&2), constrained_alone);
}

#[test]
fn stop_strings_penalties_biases_and_cancels_work_as_without_a_grammar() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &roomy());
    let stopped = GenerateRequest { stop: vec!["n\":".into()], ..json_request(1, 1) };
    let sampling = Sampling {
        presence_penalty: 2.0,
        repetition_penalty: 1.5,
        logit_bias: [(u32::from(b'}'), -100.0), (u32::from(b'!'), 100.0)].into(),
        ..json_request(2, 2).sampling
    };
    let penalised = GenerateRequest { sampling, ..json_request(2, 2) };
    for request in [stopped, penalised, json_request(3, 3)] {
        engine.submit(request).expect("accepted");
    }
    let mut answers = BTreeMap::new();
    // A grammar that is ready by now gives the first tokens.
    collect(&mut answers, engine.step().expect("computes"));
    engine.cancel(3);
    finish(&mut engine, &mut answers);
    assert!(answers[&1].text.starts_with("{") && !answers[&1].text.contains("n\":"), "{}", answers[&1].text);
    assert_eq!(answers[&1].finish, Some(Finish::Stop));
    assert!(fits(&serde_json::from_str(&answers[&2].text).expect("JSON")), "{}", answers[&2].text);
    assert_eq!(answers[&3].finish, Some(Finish::Cancelled));
}

#[test]
fn a_bad_grammar_is_refused_and_disturbs_nobody() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &roomy());
    engine.submit(request(1, Prompt::Text("b".into()), 30)).expect("accepted");
    engine.submit(constrained(2, 1, Grammar::Regex("(".into()))).expect("it is compiled later");
    let too_long = engine.submit(constrained(3, 1, Grammar::Lark("x".repeat(1 << 20))));
    assert!(too_long.expect_err("refused").to_string().contains("the limit is"));
    let answers = run(&mut engine);
    assert_eq!((answers[&1].tokens.len(), &answers[&1].finish), (30, &Some(Finish::Length)));
    assert!(matches!(&answers[&2].finish, Some(Finish::Refused(why)) if why.contains("the grammar cannot be used")));
    assert!(answers[&2].tokens.is_empty(), "nothing was said before");
}

#[test]
fn an_answer_cut_by_max_tokens_is_the_beginning_of_one_that_fits() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &roomy());
    engine.submit(GenerateRequest { max_tokens: Some(5), ..json_request(1, 1) }).expect("accepted");
    let answer = run(&mut engine).remove(&1).expect("answered");
    assert_eq!((answer.tokens.len(), answer.finish), (5, Some(Finish::Length)));
    assert!(answer.text.starts_with('{'), "{}", answer.text);
}

#[test]
fn a_required_call_is_made_whatever_the_weights() {
    let model = write(&ModelSpec { context: 2048, ..ModelSpec::default() });
    let mut engine = load(&model, &EngineOptions { context: 2048, ..options() });
    let sampling = |seed| Sampling { temperature: 1.5, seed, ..Sampling::default() };
    let ask = |id: u64, tool_choice: ToolChoice, one_call: bool| GenerateRequest {
        reply: ReplyOptions { tool_choice, one_call, ..ReplyOptions::default() },
        sampling: sampling(id),
        ignore_eos: false,
        max_tokens: None,
        ..request(id, chat(&["f", "g"]), 1)
    };
    engine.submit(ask(1, ToolChoice::Required, true)).expect("accepted");
    engine.submit(ask(2, ToolChoice::Named("g".into()), true)).expect("accepted");
    let unknown = engine.submit(ask(3, ToolChoice::Named("h".into()), true)).expect_err("no such tool");
    assert!(unknown.to_string().contains("a call of h"), "{unknown}");
    let grammar = Some(Grammar::JsonObject);
    let reply = ReplyOptions { tool_choice: ToolChoice::Required, grammar, ..ReplyOptions::default() };
    let both = engine.submit(GenerateRequest { reply, ..ask(4, ToolChoice::Required, true) });
    assert!(both.expect_err("contradicts itself").to_string().contains("leave one of them out"));
    for (id, (calls, finish, text)) in run_calls(&mut engine) {
        assert_eq!((calls.len(), finish, text.as_str()), (1, Some(Finish::Stop), ""), "{id}: {calls:?}");
        assert!(fits(&serde_json::from_str(&calls[0].arguments).expect("JSON")), "{calls:?}");
        assert!(id == 1 || calls[0].name == "g", "{calls:?}");
    }
}

#[test]
fn reasoning_is_free_but_does_not_end_the_answer() {
    let template = "{{ messages[0].content }}</think><think>\n";
    let spec = ModelSpec { chat_template: Some(template.into()), ..ModelSpec::default() };
    let mut engine = load(&write(&spec), &roomy());
    let prompt = Prompt::Chat(vec![ChatMessage::new("user", "hi")].into());
    let cut = GenerateRequest { prompt: prompt.clone(), max_tokens: Some(40), ..json_request(1, 1) };
    engine.submit(cut).expect("accepted");
    let mut reasoning = String::new();
    let mut text = String::new();
    while !engine.is_idle() {
        for output in engine.step().expect("computes") {
            (reasoning, text) = (reasoning + &output.reasoning, text + &output.text);
            assert!(output.finish.is_none_or(|finish| finish == Finish::Length));
            assert_eq!(output.usage.reasoning_tokens, output.usage.completion_tokens);
        }
    }
    assert!(!reasoning.is_empty() && text.is_empty(), "random weights do not stop reasoning: {reasoning:?} {text:?}");
}

#[test]
fn log_probabilities_are_those_of_a_softmax_of_the_logits() {
    let model = write(&ModelSpec::default());
    let mut engine = load(&model, &roomy());
    let sampling = Sampling { temperature: 1.0, seed: 5, logprobs: Some(4), ..Sampling::default() };
    let prompt: Vec<u32> = vec![104, 101, 108];
    let ask = GenerateRequest { sampling, ..request(1, Prompt::Tokens(prompt.clone()), 12) };
    engine.submit(ask).expect("accepted");
    let (mut tokens, mut told) = (prompt.clone(), Vec::new());
    while !engine.is_idle() {
        for output in engine.step().expect("computes") {
            tokens.extend(output.token_ids);
            told.extend(output.logprobs);
        }
    }
    assert_eq!(told.len(), 12);
    let rows = crate::support::logits(&mut engine, &tokens[..tokens.len() - 1]);
    for (index, entry) in told.iter().enumerate() {
        let row = &rows[prompt.len() - 1 + index];
        let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
        let logprob = |token: u32| (f64::from(row[token as usize]).exp() / sum).ln();
        let near = |token: u32, told: f32| (logprob(token) - f64::from(told)).abs() < 1e-3;
        assert!(near(entry.token, entry.logprob), "{entry:?}");
        let mut order: Vec<u32> = (0..row.len() as u32).collect();
        order.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]));
        let top: Vec<u32> = entry.top.iter().map(|(token, _)| *token).collect();
        assert_eq!(top, order[..4]);
        assert!(entry.top.iter().all(|(token, told)| near(*token, *told)), "{entry:?}");
    }
}
