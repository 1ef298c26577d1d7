//! Checks against other implementations of the same thing.

use crate::places::Places;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

mod against_llama;
mod against_torch;
mod findings;
mod guide_prompts;
mod held_out;
mod record;
mod splits;

/// What to check.
#[derive(Subcommand)]
pub enum Conformance {
    /// Our engine against llama.cpp (logits, greedy tokens, tokenizers) or, with --torch, against transformers.
    Engine(EngineConformance),
}

/// How to check the engine.
#[derive(Args)]
pub struct EngineConformance {
    /// Write the other's results to the engine's tests, which then need neither llama.cpp nor torch.
    #[arg(long)]
    record: bool,
    /// Compare with transformers and torch (float32), every architecture with generated weights.
    #[arg(long)]
    torch: bool,
    /// Another GGUF file instead of the model that comes with the project.
    #[arg(long, conflicts_with = "torch")]
    model: Option<PathBuf>,
    /// Only compare the answers of every split of the model, and its perplexity, with those of one process.
    #[arg(long)]
    splits: bool,
    /// Prompts for that.
    #[arg(long, default_value_t = 100, requires = "splits", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    prompts: usize,
}

/// Runs the chore.
pub fn run(chore: &Conformance) -> Result<()> {
    let Conformance::Engine(options) = chore;
    let places = Places::find()?;
    if options.splits {
        let model = options.model.clone().unwrap_or_else(|| places.guide_model());
        return splits::run(&places, &model, options.prompts);
    }
    if options.torch {
        against_torch::compare(&places, options.record)
    } else {
        against_llama::compare(&places, options)
    }
}
