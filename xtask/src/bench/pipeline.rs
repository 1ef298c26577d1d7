//! What a second process costs: a model cut in two over two runners with one thread each, against one runner with one
//! thread. Both do the same arithmetic one after the other, so what is added is links, copies and waiting.

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
}

/// Measures with the Q4_0 model of the engine bench.
pub fn run(places: &Places, quick: bool) -> Result<PipelineReport> {
    let program = places.release()?.join("exo-runner");
    let model = models::generated(places, GgmlType::Q4_0)?;
    let rounds = if quick { 3 } else { 9 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let (one, two) = runtime.block_on(async {
        let mut one = Chain::start(&program, &model, Cut::WHOLE).await?;
        let mut two = Chain::start(&program, &model, Cut { stages: 2, ..Cut::WHOLE }).await?;
        let (mut one_rounds, mut two_rounds) = (Vec::new(), Vec::new());
        // The first round reads the prompt; afterwards it is in the caches.
        for round in 0..=rounds {
            let (alone, together) = (one.answer(TOKENS).await?, two.answer(TOKENS).await?);
            eprintln!("  round {round}: {alone:.2} ms a token alone, {together:.2} ms over two processes");
            if round > 0 {
                one_rounds.push(alone);
                two_rounds.push(together);
            }
        }
        anyhow::Ok((one_rounds, two_rounds))
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
    })
}

impl PipelineReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["pipeline", "ms a token", "added"]);
        table.row(vec!["one process, one thread".to_owned(), format!("{:.2}", self.one_process), String::new()]);
        let added = format!("{:+.1} %", self.added_percent);
        table.row(vec!["two stages, one thread each".to_owned(), format!("{:.2}", self.two_processes), added]);
        format!("pipeline: {} on {} (promised: at most 5 %)\n\n{}\n", self.model, self.processor, table.render())
    }
}
