//! Our engine against llama.cpp: the same files, the same threads, turn by turn on the same cores.

use crate::bench::machine::{Memory, processor};
use crate::own_engine::OwnEngine;
use crate::reference_llama::ReferenceLlama;
use crate::report::{Table, bar, median};
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest sequence of the workloads.
const CONTEXT: u32 = 2304;

/// A workload gets more rounds than it must have until it took this long.
const ENOUGH: Duration = Duration::from_secs(24);

/// Tokens of a prompt, or of what is decoded after one.
const PROMPT: usize = 512;
const DECODED: usize = 32;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// A prompt of 512 tokens.
    #[value(name = "prefill")]
    Prefill,
    /// 32 tokens one by one, after 128.
    #[value(name = "decode128")]
    DecodeAt128,
    /// 32 tokens one by one, after 2048.
    #[value(name = "decode2048")]
    DecodeAt2048,
}

/// One engine against the other on one workload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Comparison {
    model: String,
    work: String,
    /// Median tokens a second of each.
    exo: f64,
    llama_cpp: f64,
    /// Of the medians.
    ratio: f64,
    /// Median gigabytes a second that the memory gave in between.
    memory: f64,
    /// Tokens a second of each round.
    exo_rounds: Vec<f64>,
    llama_cpp_rounds: Vec<f64>,
}

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineReport {
    processor: String,
    threads: usize,
    instructions: String,
    comparisons: Vec<Comparison>,
}

/// How to run.
pub struct EngineBench<'a> {
    /// The built `tools/reference-llama`.
    pub reference: &'a Path,
    /// GGUF files.
    pub models: Vec<PathBuf>,
    /// Threads of each engine.
    pub threads: usize,
    /// What to time.
    pub work: Vec<Work>,
    /// Turns of each engine on each workload: at least, and at most.
    pub rounds: RangeInclusive<usize>,
}

impl EngineBench<'_> {
    /// Measures everything; progress goes to standard error.
    pub fn run(&self) -> Result<EngineReport> {
        let memory = Memory::new(self.threads);
        let mut comparisons = Vec::new();
        let mut instructions = String::new();
        for model in &self.models {
            let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            eprintln!("loading {name} in both engines");
            let mut exo = OwnEngine::load(model, self.threads, CONTEXT)?;
            let mut llama = ReferenceLlama::start_fast(self.reference, model, self.threads, CONTEXT)?;
            instructions = exo.instructions();
            eprintln!("  exo uses {instructions}");
            for &work in &self.work {
                eprintln!("  {}", work.name());
                let comparison = self.compare(&name, work, &mut exo, &mut llama, &memory);
                let comparison = comparison.with_context(|| format!("{name}, {}", work.name()))?;
                eprintln!("    {:.1} against {:.1} tokens a second", comparison.exo, comparison.llama_cpp);
                comparisons.push(comparison);
            }
        }
        Ok(EngineReport { processor: processor(), threads: self.threads, instructions, comparisons })
    }

    fn compare(
        &self,
        model: &str,
        work: Work,
        exo: &mut OwnEngine,
        llama: &mut ReferenceLlama,
        memory: &Memory,
    ) -> Result<Comparison> {
        let (mut exo_rounds, mut llama_rounds, mut memory_rounds) = (Vec::new(), Vec::new(), Vec::new());
        // Caches and the pools of both are warmed up by what does not count.
        exo.time(work, &work.warm_up())?;
        llama.time(work, &work.warm_up())?;
        let begin = Instant::now();
        for round in 0..*self.rounds.end() {
            if round >= *self.rounds.start() && begin.elapsed() > ENOUGH {
                break;
            }
            let prompt = work.prompt(round);
            memory_rounds.push(memory.gigabytes_per_second());
            let (own, reference) = if round.is_multiple_of(2) {
                let own = exo.time(work, &prompt)?;
                (own, llama.time(work, &prompt)?)
            } else {
                let reference = llama.time(work, &prompt)?;
                (exo.time(work, &prompt)?, reference)
            };
            exo_rounds.push(work.tokens() as f64 / own);
            llama_rounds.push(work.tokens() as f64 / reference);
        }
        let (exo, llama_cpp) = (median(&exo_rounds), median(&llama_rounds));
        Ok(Comparison {
            model: model.to_owned(),
            work: work.name(),
            exo,
            llama_cpp,
            ratio: exo / llama_cpp,
            memory: median(&memory_rounds),
            exo_rounds,
            llama_cpp_rounds: llama_rounds,
        })
    }
}

impl Work {
    /// Everything.
    pub const ALL: [Self; 3] = [Self::Prefill, Self::DecodeAt128, Self::DecodeAt2048];

    fn name(self) -> String {
        self.context().map_or_else(|| format!("prefill {PROMPT}"), |context| format!("decode at {context}"))
    }

    /// Tokens before those that are decoded.
    fn context(self) -> Option<usize> {
        match self {
            Self::Prefill => None,
            Self::DecodeAt128 => Some(128),
            Self::DecodeAt2048 => Some(2048),
        }
    }

    fn tokens(self) -> usize {
        if self == Self::Prefill { PROMPT } else { DECODED }
    }

    /// Prompts to prefill differ from the first token on, so that no cache helps; those to go on from are the same in
    /// all rounds, so that both engines have them in their cache.
    fn prompt(self, round: usize) -> Vec<u32> {
        self.context().map_or_else(|| prompt(PROMPT, round), |context| prompt(context, 1000 + context))
    }

    /// A short prompt of its own, or the one to go on from, which both engines then keep.
    fn warm_up(self) -> Vec<u32> {
        self.context().map_or_else(|| prompt(PROMPT / 4, 999), |_| self.prompt(0))
    }
}

/// Tokens of no meaning, spread over the vocabulary (Knuth's multiplicative hash).
fn prompt(tokens: usize, seed: usize) -> Vec<u32> {
    let token = |index: usize| ((seed * 4096 + index) as u32).wrapping_mul(2_654_435_761) % 31_000 + 10;
    (0..tokens).map(token).collect()
}

/// An engine that can be timed: seconds for a workload.
trait Timed {
    fn time(&mut self, work: Work, prompt: &[u32]) -> Result<f64>;
}

impl Timed for OwnEngine {
    fn time(&mut self, work: Work, prompt: &[u32]) -> Result<f64> {
        match work {
            Work::Prefill => self.time_prefill(prompt),
            Work::DecodeAt128 | Work::DecodeAt2048 => self.time_decode(prompt, DECODED),
        }
    }
}

impl Timed for ReferenceLlama {
    fn time(&mut self, work: Work, prompt: &[u32]) -> Result<f64> {
        match work {
            Work::Prefill => self.time_prefill(prompt),
            Work::DecodeAt128 | Work::DecodeAt2048 => self.time_decode(prompt, DECODED),
        }
    }
}

impl EngineReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["model", "work", "exo", "llama.cpp", "ratio", "", "memory GB/s"]);
        for comparison in &self.comparisons {
            table.row(vec![
                comparison.model.clone(),
                comparison.work.clone(),
                format!("{:.1}", comparison.exo),
                format!("{:.1}", comparison.llama_cpp),
                format!("{:.2}", comparison.ratio),
                bar(comparison.ratio, 4.0, 20),
                format!("{:.0}", comparison.memory),
            ]);
        }
        let Self { processor, threads, instructions, .. } = self;
        format!(
            "engine: tokens a second, medians, {threads} threads of {processor} ({instructions})\n\n{}\n",
            table.render()
        )
    }
}
