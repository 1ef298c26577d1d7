//! What a second process costs and gains: a model cut in two over two runners with one thread each, against one runner
//! with one thread. For one request both do the same arithmetic one after the other, so what is added is links, copies and
//! waiting. Of several requests at once the two compute different ones at the same time.

use crate::bench::gain::Gain;
use crate::bench::machine::processor;
use crate::bench::models;
use crate::bench::runners::{Chain, Cut};
use crate::places::Places;
use crate::report::{Table, median};
use anyhow::{Context, Result};
use exo_gguf::GgmlType;
use serde::Serialize;

/// Tokens of an answer, of which all but the first are timed.
const TOKENS: u32 = 33;

/// Requests at once.
const REQUESTS: u32 = 8;

/// Tokens of each of their prompts, where reading is measured.
const PROMPT: u32 = 256;

/// What the tokens of those are promised to gain.
const PROMISED: f64 = 1.8;

/// One against two.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineReport {
    processor: String,
    model: String,
    /// Median milliseconds a token of one process and of two.
    one_process: f64,
    two_processes: f64,
    /// What the second one adds, in percent of the first.
    added_percent: f64,
    one_process_rounds: Vec<f64>,
    two_processes_rounds: Vec<f64>,
    requests_at_once: u32,
    /// Their answers; a token of all of them together.
    answers_at_once: Gain,
    /// Their prompts.
    prompts_at_once: Gain,
}

/// Measures with the Q4_0 model of the engine bench.
pub fn run(places: &Places, quick: bool) -> Result<PipelineReport> {
    let program = places.release()?.join("exo-runner");
    let model = models::generated(places, GgmlType::Q4_0)?;
    let rounds = if quick { 3 } else { 9 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let ([one, two], [one_answers, two_answers], [one_prompts, two_prompts]) = runtime.block_on(async {
        // One more, so that none of the prompts that come again leaves the caches.
        let mut one = Chain::start_for(&program, &model, Cut::WHOLE, REQUESTS + 1).await?;
        let mut two = Chain::start_for(&program, &model, Cut { stages: 2, ..Cut::WHOLE }, REQUESTS + 1).await?;
        let (mut alone, mut answers, mut prompts) = <([Vec<f64>; 2], [Vec<f64>; 2], [Vec<f64>; 2])>::default();
        for _ in 0..rounds {
            for (place, chain) in [&mut one, &mut two].into_iter().enumerate() {
                prompts[place].push(chain.read_at_once(REQUESTS, PROMPT).await?);
            }
        }
        // The first round reads the prompts; afterwards they are in the caches.
        for round in 0..=rounds {
            for (place, chain) in [&mut one, &mut two].into_iter().enumerate() {
                let (token, together) = (chain.answer(TOKENS).await?, chain.answer_at_once(REQUESTS, TOKENS).await?);
                let processes = place + 1;
                eprintln!(
                    "  round {round}: {processes} ranks: {token:.2} ms a token, {together:.2} ms of {REQUESTS} at once"
                );
                if round > 0 {
                    alone[place].push(token);
                    answers[place].push(together);
                }
            }
        }
        anyhow::Ok((alone, answers, prompts))
    })?;
    let (one_process, two_processes) = (median(&one), median(&two));
    Ok(PipelineReport {
        processor: processor(),
        model: model.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        one_process,
        two_processes,
        added_percent: 100.0 * (two_processes / one_process - 1.0),
        one_process_rounds: one,
        two_processes_rounds: two,
        requests_at_once: REQUESTS,
        answers_at_once: Gain::of(&one_answers, &two_answers),
        prompts_at_once: Gain::of(&one_prompts, &two_prompts),
    })
}

impl PipelineReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["pipeline", "one rank, ms a token", "two ranks", ""]);
        let added = format!("{:+.1} %", self.added_percent);
        let alone = [format!("{:.2}", self.one_process), format!("{:.2}", self.two_processes), added];
        table.row(std::iter::once("one request".to_owned()).chain(alone).collect());
        let requests = self.requests_at_once;
        for (what, gain) in [("answers", &self.answers_at_once), ("prompts", &self.prompts_at_once)] {
            table.row(std::iter::once(format!("{requests} {what} at once")).chain(gain.cells()).collect());
        }
        let promised = format!("promised: at most +3 %, and {PROMISED} x");
        format!(
            "pipeline: {} on {}, one thread a rank ({promised})\n\n{}\n",
            self.model,
            self.processor,
            table.render()
        )
    }
}
