//! The tests of nixos-tests/ on real systemd without NixOS: Debian with exo's package as installed, in containers or in
//! virtual machines.
//!
//! This finds the tests, says what is missing on this machine, and prepares a base system and a package. The machines
//! themselves, and the words of the scripts, are in nixos-tests/lib, from driver.py on.

mod base_system;
mod package;
mod requirements;
mod test_case;

use crate::places::Places;
use anyhow::{Context, Result, bail, ensure};
use base_system::{Kind, base_system};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use test_case::TestCase;

/// Runs tests of nixos-tests/ on machines with Debian: containers, or with --vm virtual machines.
#[derive(Debug, Args)]
#[command(after_help = "Needs root, mmdebstrap, systemd-nspawn and iproute2; with --vm qemu-system-x86_64 instead of
systemd-nspawn. What is missing is named.\n\nExamples:
  cargo xtask machines --list
  cargo xtask machines three-nodes-elect leader-dies
  cargo xtask machines single-node --keep    # look around after the test
  cargo xtask machines --vm bond-failover    # minutes: the processor is emulated")]
pub struct Machines {
    /// Names of tests, as --list tells them; if none is named, all that containers can run, or with --vm the others
    tests: Vec<String>,
    /// In virtual machines with a kernel of their own, for what containers cannot show
    #[arg(long)]
    vm: bool,
    /// Tell which tests there are, and what they need where containers cannot run them
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
    let kind = if options.vm { Kind::Virtual } else { Kind::Container };
    let chosen = choose(&all, &options.tests, kind)?;
    if let Err(missing) = requirements::check(kind) {
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
    let base = base_system(kind, &places.root, &folder)?;
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

fn choose<'a>(all: &'a [TestCase], names: &[String], kind: Kind) -> Result<Vec<&'a TestCase>> {
    if names.is_empty() {
        let (usual, others): (Vec<_>, Vec<_>) = all.iter().partition(|test| test.is_usual(kind));
        let refused = others.iter().filter_map(|test| Some((&test.name, test.refusal(kind)?)));
        refused.for_each(|(name, reason)| println!("skipped  {name:<24} {reason}"));
        return Ok(usual);
    }
    let find = |name: &String| -> Result<&TestCase> {
        let test = all.iter().find(|test| test.name == *name);
        let test = test.with_context(|| format!("there is no test {name} in nixos-tests/; `--list` shows all"))?;
        match test.refusal(kind) {
            Some(reason) => bail!("{name} does not run here: {reason}"),
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
    let result = drive(test, options, base, package, &folder.join("running"));
    let seconds = begin.elapsed().as_secs_f32();
    match &result {
        Ok(()) => println!("ok       {} ({seconds:.0} s)", test.name),
        Err(error) => println!("FAILED   {} ({seconds:.0} s): {error:#}", test.name),
    }
    result.is_ok()
}

fn drive(test: &TestCase, options: &Machines, base: &Path, package: &Path, running: &Path) -> Result<()> {
    std::fs::create_dir_all(running).with_context(|| running.display().to_string())?;
    let work = tempfile::Builder::new().prefix(&test.name).tempdir_in(running).context("a folder for the machines")?;
    let driver = test.script.with_file_name("lib").join("driver.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(driver).arg("--test").arg(&test.script);
    command.arg("--base").arg(base).arg("--package").arg(package).arg("--work").arg(work.path());
    if options.vm {
        command.arg("--virtual");
    }
    if options.keep {
        command.arg("--keep");
    }
    let status = command.status().context("python3")?;
    ensure!(status.success(), "its driver ended with {status}");
    Ok(())
}
