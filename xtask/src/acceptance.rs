//! Tests that need more than cargo: clients and judges that others wrote.
//!
//! Every part says for itself when it cannot run on this machine and why; that is reported, never hidden.

mod kubernetes;
mod openai;
mod python;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Instant;

/// The parts, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// OpenAI's Python client against a running cluster.
    Openai,
    /// What the NixOS modules hand to k3s, against Kubernetes' schemas.
    Kubernetes,
}

/// What became of a part.
enum Outcome {
    Passed,
    Skipped(String),
}

/// What every part gets.
struct Bench {
    /// The repository.
    root: PathBuf,
    /// Folder with exo's programs.
    programs: PathBuf,
    /// Folder for what is worth keeping between runs.
    cache: PathBuf,
}

/// Runs the parts asked for, or all.
pub fn run(parts: &[Part]) -> Result<()> {
    let parts = if parts.is_empty() { Part::value_variants() } else { parts };
    let bench = bench()?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for part in parts {
        let begin = Instant::now();
        let name = part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        match run_part(*part, &bench) {
            Ok(Outcome::Passed) => {
                passed += 1;
                println!("ok       {name} ({:.0} s)", begin.elapsed().as_secs_f32());
            }
            Ok(Outcome::Skipped(reason)) => {
                skipped += 1;
                println!("skipped  {name}: {reason}");
            }
            Err(error) => {
                failed += 1;
                println!("FAILED   {name}: {error:#}");
            }
        }
    }
    println!("acceptance: {passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("{failed} acceptance parts failed");
    }
    Ok(())
}

fn run_part(part: Part, bench: &Bench) -> Result<Outcome> {
    match part {
        Part::Openai => openai::run(bench),
        Part::Kubernetes => kubernetes::run(bench),
    }
}

fn bench() -> Result<Bench> {
    let program = std::env::current_exe().context("path of this program")?;
    let programs = program.parent().context("a program lies in a folder")?.to_path_buf();
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    let cache = metadata.target_directory.as_std_path().join("acceptance");
    std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    Ok(Bench { root: metadata.workspace_root.into_std_path_buf(), programs, cache })
}
