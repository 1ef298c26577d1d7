//! What a second process gains: a model whose layers two runners with one thread each share, against one runner with one
//! thread.

use crate::bench::gain::Gain;
use crate::bench::machine::processor;
use crate::bench::models;
use crate::bench::runners::{Chain, Cut};
use crate::places::Places;
use crate::report::Table;
use anyhow::{Context, Result};
use exo_gguf::GgmlType;
use serde::Serialize;

/// Tokens of an answer, of which all but the first are timed.
const TOKENS: u32 = 33;

/// Tokens of a prompt.
const PROMPT: u32 = 512;

/// What both are promised to gain.
const PROMISED: f64 = 1.8;

/// One against two.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TensorReport {
    processor: String,
    model: String,
    decode: Gain,
    prefill: Gain,
}

/// Measures with the Q4_0 model of the engine bench.
pub fn run(places: &Places, quick: bool) -> Result<TensorReport> {
    let program = places.release()?.join("exo-runner");
    let model = models::generated(places, GgmlType::Q4_0)?;
    let rounds = if quick { 3 } else { 9 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let (decode, prefill) = runtime.block_on(async {
        let mut one = Chain::start(&program, &model, Cut::WHOLE).await?;
        let mut two = Chain::start(&program, &model, Cut { shares: 2, ..Cut::WHOLE }).await?;
        let (mut decode, mut prefill) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        // The first round is to warm up.
        for round in 0..=rounds {
            for (place, chain) in [&mut one, &mut two].into_iter().enumerate() {
                let (token, prompt) = (chain.answer(TOKENS).await?, chain.read(PROMPT).await?);
                eprintln!("  round {round}: {} ranks: {token:.2} ms a token, {prompt:.2} ms a prompt's", place + 1);
                if round > 0 {
                    decode[place].push(token);
                    prefill[place].push(prompt);
                }
            }
        }
        anyhow::Ok((decode, prefill))
    })?;
    Ok(TensorReport {
        processor: processor(),
        model: model.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        decode: Gain::of(&decode[0], &decode[1]),
        prefill: Gain::of(&prefill[0], &prefill[1]),
    })
}

impl TensorReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["tensor", "one rank, ms a token", "two ranks", "gain"]);
        for (name, gain) in [("decode", &self.decode), ("prefill", &self.prefill)] {
            table.row(std::iter::once(name.to_owned()).chain(gain.cells()).collect());
        }
        let what = format!("{} on {}, one thread a rank (promised: {PROMISED} x)", self.model, self.processor);
        format!("tensor: {what}\n\n{}\n", table.render())
    }
}
