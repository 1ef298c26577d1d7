//! What it gains to compute once what requests begin with: chats with the same instructions, turn by turn, on one engine
//! that reuses (`engine.prefixReuse`) and one that does not. More chats than the engine has slots, so that none keeps its
//! own. The same tokens from both.

use crate::bench::machine::processor;
use crate::bench::models;
use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::report::Table;
use anyhow::{Result, ensure};
use exo_engine::EngineOptions;
use exo_gguf::GgmlType;
use serde::Serialize;

/// Tokens of the instructions, which all chats have, of a question, and of an answer.
const INSTRUCTIONS: u32 = 256;
const QUESTION: u32 = 48;
const ANSWER: usize = 24;

/// Answers that the engine can compute at the same time.
const SLOTS: u32 = 4;
const CONTEXT: u32 = 1024;

/// Turns at the same place of their chats.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    turn: String,
    /// Mean milliseconds from the question to the first token.
    without: f64,
    with: f64,
    /// Of the means.
    ratio: f64,
    /// Share of the prompts' tokens that was there, in percent.
    reused: f64,
}

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrefixReport {
    processor: String,
    model: String,
    threads: usize,
    chats: u32,
    turns: Vec<Turn>,
}

/// What one turn of one chat took.
struct Measured {
    without: f64,
    with: f64,
    prompt_tokens: usize,
    reused_tokens: usize,
}

/// Measures with the Q4_0 model of the engine bench.
pub fn run(places: &Places, threads: usize, quick: bool) -> Result<PrefixReport> {
    let path = models::generated(places, GgmlType::Q4_0)?;
    let load = |reuse| {
        let (context, max_sequences) = (CONTEXT, SLOTS);
        OwnEngine::load_for(&path, EngineOptions { threads, reuse, context, max_sequences, ..EngineOptions::default() })
    };
    let (mut without, mut with) = (load(false)?, load(true)?);
    let (chats, turns) = if quick { (SLOTS + 1, 3) } else { (SLOTS + 4, 5) };
    let mut said: Vec<Vec<u32>> = vec![words(0, INSTRUCTIONS); chats as usize];
    // Nothing of it comes again.
    let warm_up = words(1, INSTRUCTIONS);
    without.time_first_token(&warm_up, 1)?;
    with.time_first_token(&warm_up, 1)?;
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for turn in 1..=turns {
        let mut measured = Vec::new();
        for (chat, said) in (1..).zip(&mut said) {
            said.extend(words(100 * turn + chat, QUESTION));
            let expect = without.time_first_token(said, ANSWER)?;
            let got = with.time_first_token(said, ANSWER)?;
            ensure!(got.tokens == expect.tokens, "what was reused changed an answer");
            let (prompt_tokens, reused_tokens) = (said.len(), got.cached_tokens as usize);
            measured.push(Measured { without: expect.seconds, with: got.seconds, prompt_tokens, reused_tokens });
            said.extend(got.tokens);
        }
        let row = Turn::of(format!("turn {turn}"), &measured);
        eprintln!("  {}: {:.0} ms without, {:.0} ms with", row.turn, row.without, row.with);
        rows.push(row);
        all.extend(measured);
    }
    rows.push(Turn::of("all".to_owned(), &all));
    let model = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(PrefixReport { processor: processor(), model, threads, chats, turns: rows })
}

/// Tokens that begin like no others.
fn words(seed: u32, count: u32) -> Vec<u32> {
    (0..count).map(|index| (index * 97 + seed * 131 + index * index * (seed + 1) + 5) % 31_000).collect()
}

impl Turn {
    fn of(turn: String, measured: &[Measured]) -> Self {
        let sum = |value: fn(&Measured) -> f64| measured.iter().map(value).sum::<f64>();
        let mean = |value| 1000.0 * sum(value) / measured.len() as f64;
        let (without, with) = (mean(|measured| measured.without), mean(|measured| measured.with));
        let tokens = sum(|measured| measured.prompt_tokens as f64);
        let reused = 100.0 * sum(|measured| measured.reused_tokens as f64) / tokens;
        Self { turn, without, with, ratio: with / without, reused }
    }
}

impl PrefixReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["to the first token", "ms without", "with", "ratio", "reused"]);
        for Turn { turn, without, with, ratio, reused } in &self.turns {
            let numbers =
                [format!("{without:.0}"), format!("{with:.0}"), format!("{ratio:.2} ×"), format!("{reused:.0} %")];
            table.row(std::iter::once(turn.clone()).chain(numbers).collect());
        }
        let Self { model, processor, threads, chats, .. } = self;
        let title = format!("{model} on {processor}, {threads} threads, {chats} chats over {SLOTS} slots");
        format!("what requests begin with: {title}\n\n{}\n", table.render())
    }
}
