//! exo-guide, the model that comes with the project: does it answer what it was trained to answer?

use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::report::Table;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use exo_engine::EngineOptions;
use std::path::PathBuf;

mod corpus;
mod exam;
pub mod perplexity;
#[cfg(test)]
mod tests;

use exam::{Exam, Marks};

/// Least share of the trained questions that must be answered word for word.
const TRAINED_BOUND: f64 = 0.95;

/// The same of the held-back rephrasings.
const HELD_BACK_BOUND: f64 = 0.60;

/// Most tokens of a question and its answer.
const CONTEXT: u32 = 256;

/// Questions answered at once.
const BATCH: u32 = 16;

/// What to do with the model.
#[derive(Subcommand)]
pub enum GuideModel {
    /// Ask it its own questions and the held-back rephrasings at temperature 0.
    Eval(Eval),
}

/// How to evaluate.
#[derive(Args)]
pub struct Eval {
    /// GGUF file instead of the one that comes with the project.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Only so many questions, half of them held back ones.
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Which ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads that compute.
    #[arg(long, default_value_t = crate::bench::cores())]
    threads: usize,
    /// List what is answered wrongly.
    #[arg(long)]
    wrong: bool,
}

/// Runs the chore.
pub fn run(chore: &GuideModel) -> Result<()> {
    let GuideModel::Eval(eval) = chore;
    let places = Places::find()?;
    let model = eval.model.clone().unwrap_or_else(|| places.guide_model());
    let mut questions = corpus::read(&places.root.join("tools/guide-model/corpus"))?;
    if let Some(count) = eval.sample {
        questions = corpus::sample(questions, count, eval.seed);
    }
    let mut engine = OwnEngine::load_for(&model, options(eval.threads))?;
    let marks = Exam { questions, show_progress: true }.hold(engine.engine())?;
    let perplexity = perplexity::of_file(engine.engine(), &places.held_out_text())?;
    println!("{}", table(&marks));
    println!("\nperplexity of tools/guide-model/heldout.txt: {perplexity}");
    if eval.wrong {
        marks.wrong.iter().for_each(|wrong| println!("\n{wrong}"));
    }
    if !marks.suffice() {
        bail!("{} answers too few questions", model.display());
    }
    Ok(())
}

fn options(threads: usize) -> EngineOptions {
    EngineOptions { threads, context: CONTEXT, max_sequences: BATCH, ..EngineOptions::default() }
}

fn table(marks: &Marks) -> String {
    let mut table = Table::new(&["questions", "right", "of", "share", "bound"]);
    for (name, score, bound) in
        [("trained", marks.trained, TRAINED_BOUND), ("held back", marks.held_back, HELD_BACK_BOUND)]
    {
        table.row(vec![
            name.to_owned(),
            score.right.to_string(),
            score.asked.to_string(),
            format!("{:.1} %", 100.0 * score.share()),
            format!("{:.0} %", 100.0 * bound),
        ]);
    }
    table.render()
}

impl Marks {
    /// Whether both bounds are kept.
    fn suffice(&self) -> bool {
        self.trained.share() >= TRAINED_BOUND && self.held_back.share() >= HELD_BACK_BOUND
    }
}
