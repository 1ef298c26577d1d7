//! The tests of nixos-tests/ on real systemd without NixOS: Debian containers with exo's package as installed.
//!
//! This finds the tests, says what is missing on this machine, and prepares a base system and a package. The machines
//! themselves, and the words of the scripts, are nixos-tests/lib/driver.py.

mod base_system;
mod package;
mod requirements;
mod test_case;

use crate::places::Places;
use anyhow::{Context, Result, bail, ensure};
use base_system::base_system;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use test_case::TestCase;

/// Runs tests of nixos-tests/ in Debian containers.
#[derive(Debug, Args)]
#[command(after_help = "Needs root, mmdebstrap, systemd-nspawn and iproute2.\n\nExamples:
  cargo xtask machines --list
  cargo xtask machines three-nodes-elect leader-dies
  cargo xtask machines single-node --keep    # look around after the test")]
pub struct Machines {
    /// Names of tests, as --list tells them; all that containers can run if none is named
    tests: Vec<String>,
    /// Tell which tests there are, and which of them containers cannot run, and why
    #[arg(long)]
    list: bool,
    /// Leave the machines of a test running after it, until Ctrl-C, and say how to enter them
    #[arg(long)]
    keep: bool,
    /// Folder with exo's programs [default: they are built]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Where this machine cannot run them, say why and count that as no failure: for CI
    #[arg(long)]
    skip_if_unable: bool,
}

/// Runs the tests one after the other.
pub fn run(options: &Machines) -> Result<()> {
    let places = Places::find()?;
    let all = test_case::find(&places.root.join("nixos-tests"))?;
    if options.list {
        all.iter().for_each(|test| println!("{test}"));
        return Ok(());
    }
    let chosen = choose(&all, &options.tests)?;
    if let Err(missing) = requirements::check() {
        if options.skip_if_unable {
            println!("skipped  {}: {missing}", names(&chosen));
            return Ok(());
        }
        bail!("the machines cannot be started here: {missing}");
    }
    let programs = match &options.programs {
        Some(folder) => folder.clone(),
        None => places.development()?,
    };
    let folder = places.target.join("machines");
    let base = base_system(&folder)?;
    let package = package::install(&places.root, &programs, &base, &folder.join("package"))?;
    let failed: Vec<&str> = chosen
        .iter()
        .filter(|test| !run_one(test, options, &base, &package, &folder))
        .map(|t| t.name.as_str())
        .collect();
    println!("machines: {} passed, {} failed", chosen.len() - failed.len(), failed.len());
    ensure!(failed.is_empty(), "{} failed", failed.join(", "));
    Ok(())
}

fn choose<'a>(all: &'a [TestCase], names: &[String]) -> Result<Vec<&'a TestCase>> {
    if names.is_empty() {
        let (can, cannot): (Vec<_>, Vec<_>) = all.iter().partition(|test| test.only_elsewhere.is_none());
        cannot.into_iter().for_each(|test| println!("skipped  {test}"));
        return Ok(can);
    }
    let find = |name: &String| -> Result<&TestCase> {
        let test = all.iter().find(|test| test.name == *name);
        let test = test.with_context(|| format!("there is no test {name} in nixos-tests/; `--list` shows all"))?;
        match &test.only_elsewhere {
            Some(reason) => bail!("{name} does not run in containers: {reason}"),
            None => Ok(test),
        }
    };
    names.iter().map(find).collect()
}

fn names(tests: &[&TestCase]) -> String {
    tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn run_one(test: &TestCase, options: &Machines, base: &Path, package: &Path, folder: &Path) -> bool {
    println!("test     {}", test.name);
    let begin = Instant::now();
    let result = drive(test, options.keep, base, package, &folder.join("running"));
    let seconds = begin.elapsed().as_secs_f32();
    match &result {
        Ok(()) => println!("ok       {} ({seconds:.0} s)", test.name),
        Err(error) => println!("FAILED   {} ({seconds:.0} s): {error:#}", test.name),
    }
    result.is_ok()
}

fn drive(test: &TestCase, keep: bool, base: &Path, package: &Path, running: &Path) -> Result<()> {
    std::fs::create_dir_all(running).with_context(|| running.display().to_string())?;
    let work = tempfile::Builder::new().prefix(&test.name).tempdir_in(running).context("a folder for the machines")?;
    let driver = test.script.with_file_name("lib").join("driver.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(driver).arg("--test").arg(&test.script);
    command.arg("--base").arg(base).arg("--package").arg(package).arg("--work").arg(work.path());
    if keep {
        command.arg("--keep");
    }
    let status = command.status().context("python3")?;
    ensure!(status.success(), "its driver ended with {status}");
    Ok(())
}
