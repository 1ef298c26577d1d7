//! Simulates a cluster: builds the simulation as users' programs are built, and runs it.

use crate::places::Places;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::process::Command;

/// What the simulation is to do; it knows its own arguments.
#[derive(Args)]
pub struct Sim {
    /// `--seeds N --jobs J`, `--seed S`, `--bugs`; `--help` tells all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs it; a violated invariant is an error.
pub fn run(sim: &Sim) -> Result<()> {
    let program = Places::find()?.simulation()?;
    let status = Command::new(&program).args(&sim.arguments).status();
    let status = status.with_context(|| format!("{} does not start", program.display()))?;
    ensure!(status.code().is_some(), "the simulation was ended before it was done: {status}");
    ensure!(status.success(), "the simulation found something");
    Ok(())
}
