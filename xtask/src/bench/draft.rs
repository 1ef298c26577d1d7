//! What guessing tokens ahead gains where an answer repeats itself, and costs where it does not: one engine that guesses
//! against one that does not, turn by turn, the same tokens from both.

use crate::bench::machine::processor;
use crate::bench::models;
use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::report::{Table, median};
use anyhow::{Result, ensure};
use exo_engine::EngineOptions;
use exo_gguf::GgmlType;
use exo_text::Sampling;
use serde::Serialize;

/// Most tokens that are guessed ahead.
const DRAFT: u32 = 8;

/// Tokens of an answer, and of the sequence in which it lies.
const TOKENS: usize = 96;
const CONTEXT: u32 = 1024;

/// One kind of text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    text: &'static str,
    /// Median tokens a second of each.
    plain: f64,
    guessing: f64,
    /// Of the medians.
    ratio: f64,
}

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DraftReport {
    processor: String,
    model: String,
    threads: usize,
    draft: u32,
    cases: Vec<Case>,
}

/// Measures with the Q4_0 model of the engine bench.
pub fn run(places: &Places, threads: usize, quick: bool) -> Result<DraftReport> {
    let model = models::generated(places, GgmlType::Q4_0)?;
    let load = |draft| {
        let options = EngineOptions { threads, draft, context: CONTEXT, max_sequences: 1, ..EngineOptions::default() };
        OwnEngine::load_for(&model, options)
    };
    let (mut plain, mut guessing) = (load(0)?, load(DRAFT)?);
    let rounds = if quick { 3 } else { 7 };
    // A model of random weights that always takes the likeliest token soon goes round in a circle; one that takes any
    // never says the same words twice.
    let kinds = [("goes round in a circle", 0.0), ("never repeats itself", 5.0)];
    let mut cases = Vec::new();
    for (text, temperature) in kinds {
        let mut times = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let prompt: Vec<u32> = (0..64).map(|index| (index * 97 + round * 131 + 5) % 31_000).collect();
            let sampling = Sampling { temperature, seed: u64::from(round), ..Sampling::default() };
            let (without, expected) = plain.time_answer(&prompt, sampling.clone(), TOKENS)?;
            let (with, got) = guessing.time_answer(&prompt, sampling, TOKENS)?;
            ensure!(got == expected, "guessing changed an answer: {got:?} instead of {expected:?}");
            eprintln!("  {text}, round {round}: {without:.2} s without, {with:.2} s with guesses");
            if round > 0 {
                times.0.push(TOKENS as f64 / without);
                times.1.push(TOKENS as f64 / with);
            }
        }
        let (plain, guessing) = (median(&times.0), median(&times.1));
        cases.push(Case { text, plain, guessing, ratio: guessing / plain });
    }
    let model = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(DraftReport { processor: processor(), model, threads, draft: DRAFT, cases })
}

impl DraftReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["an answer that", "tokens/s without", "guessing", "ratio"]);
        for case in &self.cases {
            let numbers =
                [format!("{:.1}", case.plain), format!("{:.1}", case.guessing), format!("{:.2} ×", case.ratio)];
            table.row(std::iter::once(case.text.to_owned()).chain(numbers).collect());
        }
        let title =
            format!("{} on {}, {} threads, up to {} tokens", self.model, self.processor, self.threads, self.draft);
        format!("guessing ahead: {title}\n\n{}\n", table.render())
    }
}
