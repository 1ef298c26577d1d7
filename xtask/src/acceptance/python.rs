//! Python packages that others wrote, at pinned versions.

use super::Bench;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of programs of a virtual environment with what xtask/clients/NAME.txt names; made once.
pub fn environment(bench: &Bench, name: &str) -> Result<PathBuf> {
    let folder = bench.cache.join(format!("{name}-venv"));
    let programs = folder.join("bin");
    let requirements = bench.root.join(format!("xtask/clients/{name}.txt"));
    if !programs.join("python").exists() {
        command(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--requirement"];
    command(Command::new(programs.join("python")).args(install).arg(requirements))?;
    Ok(programs)
}

fn command(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{:?}", Path::new(command.get_program())))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
