//! How long whoever reads along waits for each token while somebody else's long prompt is read, and what that costs the
//! prompt.

use crate::bench::machine::processor;
use crate::bench::models;
use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::report::Table;
use anyhow::{Context, Result};
use exo_engine::EngineOptions;
use exo_gguf::GgmlType;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Answers that are read along.
const STREAMS: usize = 2;

/// Tokens of each before the long prompt comes, and as many after it was read: answers that are longer take longer for
/// each token, whatever is read beside them.
const ALONE: usize = 128;

/// What the readers see, in milliseconds between two tokens of an answer.
#[derive(Debug, Serialize)]
struct Gaps {
    median: f64,
    p99: f64,
    count: usize,
}

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    processor: String,
    model: String,
    threads: usize,
    streams: usize,
    prompt_tokens: usize,
    /// Before the prompt came, while it was read, and after that.
    before: Gaps,
    beside: Gaps,
    after: Gaps,
    /// Of the 99th percentiles: beside, over the mean of before and after.
    ratio: f64,
    /// Tokens a second of the prompt, beside the answers and with nothing else to do.
    prompt_rate_beside: f64,
    prompt_rate_alone: f64,
}

/// Measures with the Q4_0 model of the engine bench.
pub fn run(places: &Places, threads: usize, quick: bool) -> Result<StreamReport> {
    let path = models::generated(places, GgmlType::Q4_0)?;
    let prompt_tokens = if quick { 1024 } else { 4096 };
    let (context, max_sequences) = (8192, 4);
    let options = EngineOptions { threads, context, max_sequences, reuse: false, ..EngineOptions::default() };
    let mut engine = OwnEngine::load_for(&path, options)?;
    let prompt = |seed: u32, count: usize| -> Vec<u32> {
        (0..).take(count).map(|index: u32| (index * 97 + seed * 131 + 5) % 31_000).collect()
    };
    let alone_seconds = engine.time_prefill(&prompt(9, prompt_tokens))?;
    let streams = (0..).take(STREAMS).map(|seed| engine.submit(&prompt(seed, 32), context as usize / 2));
    let streams = streams.collect::<Result<Vec<u64>>>()?;
    let mut watch = Watch::new(streams);
    let before = watch.alone(&mut engine, "before")?;
    let begin = Instant::now();
    let reader = engine.submit(&prompt(7, prompt_tokens), 1)?;
    while !watch.step(&mut engine, Some(reader))? {}
    let beside_seconds = begin.elapsed().as_secs_f64();
    let beside = watch.take("beside")?;
    let after = watch.alone(&mut engine, "after")?;
    let rate = |seconds: f64| prompt_tokens as f64 / seconds;
    let model = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(StreamReport {
        processor: processor(),
        model,
        threads,
        streams: STREAMS,
        prompt_tokens,
        ratio: 2.0 * beside.p99 / (before.p99 + after.p99),
        before,
        beside,
        after,
        prompt_rate_beside: rate(beside_seconds),
        prompt_rate_alone: rate(alone_seconds),
    })
}

/// Answers that are read along.
struct Watch {
    /// Each with when its last token came.
    streams: Vec<(u64, Option<Instant>)>,
    gaps: Vec<Duration>,
}

impl Watch {
    fn new(streams: Vec<u64>) -> Self {
        Self { streams: streams.into_iter().map(|id| (id, None)).collect(), gaps: Vec::new() }
    }

    /// One step; true when the awaited request said something.
    fn step(&mut self, engine: &mut OwnEngine, awaited: Option<u64>) -> Result<bool> {
        let outputs = engine.step()?;
        let now = Instant::now();
        for (_, last) in self.streams.iter_mut().filter(|(id, _)| outputs.iter().any(|output| output.id == *id)) {
            self.gaps.extend(last.replace(now).map(|last| now - last));
        }
        Ok(outputs.iter().any(|output| Some(output.id) == awaited))
    }

    /// With nothing else to do.
    fn alone(&mut self, engine: &mut OwnEngine, when: &str) -> Result<Gaps> {
        while self.gaps.len() < ALONE * STREAMS {
            self.step(engine, None)?;
        }
        self.take(when)
    }

    fn take(&mut self, when: &str) -> Result<Gaps> {
        let mut gaps: Vec<f64> = self.gaps.drain(..).map(|gap| 1000.0 * gap.as_secs_f64()).collect();
        gaps.sort_by(f64::total_cmp);
        let at = |share: f64| gaps.get((share * gaps.len() as f64) as usize).copied();
        let (median, p99) = at(0.5).zip(at(0.99)).with_context(|| format!("no token came {when}"))?;
        eprintln!("  {when}: {median:.1} ms, p99 {p99:.1} ms");
        Ok(Gaps { median, p99, count: gaps.len() })
    }
}

impl StreamReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["between two tokens of an answer", "median", "p99", "tokens"]);
        let rows = [
            ("before the prompt comes", &self.before),
            ("while it is read", &self.beside),
            ("after that", &self.after),
        ];
        for (when, gaps) in rows {
            let numbers = [format!("{:.1} ms", gaps.median), format!("{:.1} ms", gaps.p99), gaps.count.to_string()];
            table.row(std::iter::once(when.to_owned()).chain(numbers).collect());
        }
        table.row(vec![
            "ratio to before and after".into(),
            String::new(),
            format!("{:.2} ×", self.ratio),
            String::new(),
        ]);
        let Self { model, processor, threads, streams, prompt_tokens, .. } = self;
        let title = format!(
            "{model} on {processor}, {threads} threads, {streams} answers beside a prompt of {prompt_tokens} tokens"
        );
        let rates = format!(
            "the prompt: {:.0} tokens/s beside the answers, {:.0} with nothing else to do",
            self.prompt_rate_beside, self.prompt_rate_alone
        );
        format!("reading along: {title}\n\n{}\n{rates}\n", table.render())
    }
}
