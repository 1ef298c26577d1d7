use exo_grammar::{Grammar, Grammars};
use exo_text::{PreTokenizer, ReplyFormat, Sampling, SpecialTokens, TokenKind, TokenizerModel, Vocabulary};
use std::sync::Arc;

use super::*;
use crate::request::{Prompt, ReplyOptions, Turn};

/// Bytes, and one token that ends answers.
fn tokenizer() -> Arc<Tokenizer> {
    let bytes = (0..=255).map(|byte: u8| (format!("<0x{byte:02X}>"), TokenKind::Byte));
    let all: Vec<(String, TokenKind)> = bytes.chain([("<|im_end|>".to_owned(), TokenKind::Control)]).collect();
    let vocabulary = Vocabulary {
        model: TokenizerModel::Llama,
        pre: PreTokenizer::Gpt2,
        scores: vec![0.0; all.len()],
        kinds: all.iter().map(|(_, kind)| *kind).collect(),
        tokens: all.into_iter().map(|(text, _)| text).collect(),
        merges: Vec::new(),
        special: SpecialTokens::default(),
    };
    Arc::new(Tokenizer::new(vocabulary).expect("a vocabulary"))
}

fn request() -> GenerateRequest {
    GenerateRequest {
        id: 1,
        prompt: Prompt::Text(String::new()),
        sampling: Sampling::default(),
        max_tokens: None,
        stop: Vec::new(),
        ignore_eos: false,
        reply: ReplyOptions::default(),
        answered: Vec::new(),
        asked_at: None,
        turn: Turn::default(),
    }
}

/// Tells that every token is as likely, but this one likelier.
fn logits(favourite: u32) -> Vec<f32> {
    (0..257).map(|token| if token == favourite { 1.0 } else { 0.0 }).collect()
}

#[test]
fn a_grammar_begins_behind_the_reasoning() {
    let (tokenizer, now) = (tokenizer(), Instant::now());
    let grammars = Grammars::new(tokenizer.clone());
    let guide = Guide::start(&grammars, Grammar::Regex("[0-9]x".into()), false, now).expect("small");
    let format = ReplyFormat::of_template("</think>");
    let reply = Reply { parser: Some(ReplyParser::new(format, true, None)), markers: Vec::new() };
    let mut answer = Answer::new(&request(), &[], reply, Some(guide), now).expect("no stop strings");
    let patience = Duration::from_secs(60);
    let (mut reasoning, mut text) = (String::new(), String::new());
    for wanted in *b"hm\x00</think>a5" {
        // A zero stands for the end: nobody may leave before the grammar's part has begun.
        let favourite = if wanted == 0 { 256 } else { u32::from(wanted) };
        let Choice::Token(sampled) = answer.choose(&mut logits(favourite), patience, &tokenizer, now) else {
            panic!("no token where {wanted} was wanted");
        };
        assert_ne!(sampled.token, 256);
        let output = answer.push(sampled, false, &tokenizer, now);
        (reasoning, text) = (reasoning + &output.reasoning, text + &output.text);
    }
    // "a" is not allowed: the first of the equally likely digits comes; and after it only "x".
    assert_eq!((reasoning.as_str(), text.as_str()), ("hm\0", "0x"));
    assert!(matches!(answer.choose(&mut logits(1), patience, &tokenizer, now), Choice::End(Finish::Stop)));
}

#[test]
fn a_pause_counts_as_waiting() {
    let (tokenizer, begin) = (tokenizer(), Instant::now());
    let after = |seconds: u64| begin + Duration::from_secs(seconds);
    let reply = Reply { parser: None, markers: Vec::new() };
    let mut answer = Answer::new(&request(), &[1, 2], reply, None, begin).expect("nothing is refused");
    answer.start(after(1), 0);
    answer.pause(after(2));
    answer.start(after(12), 0);
    let say = |answer: &mut Answer, at| {
        let Choice::Token(sampled) = answer.choose(&mut logits(65), Duration::ZERO, &tokenizer, at) else {
            panic!("a token was expected");
        };
        answer.push(sampled, false, &tokenizer, at)
    };
    say(&mut answer, after(13));
    answer.pause(after(14));
    answer.start(after(114), 0);
    let timings = say(&mut answer, after(115)).timings;
    let seconds = [timings.waiting, timings.prefill, timings.decode].map(|time| time.as_secs());
    assert_eq!(seconds, [1 + 10 + 100, 2, 2]);
}
