//! The units under real systemd: the scripts of nixos-tests/ in a Debian container.

use super::{Bench, Outcome};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Runs the script of every test that one machine is enough for.
pub fn run(bench: &Bench) -> Result<Outcome> {
    if let Some(reason) = missing() {
        return Ok(Outcome::Skipped(reason));
    }
    let status = Command::new("python3")
        .arg(bench.root.join("nixos-tests/container/run.py"))
        .arg("--bin")
        .arg(&bench.programs)
        .arg("--cache")
        .arg(bench.cache.join("systemd"))
        .arg("single-node")
        .status()
        .context("the container's driver")?;
    ensure!(status.success(), "nixos-tests/single-node.py ended with {status}");
    Ok(Outcome::Passed)
}

/// Why this machine cannot boot a container, if it cannot.
fn missing() -> Option<String> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() != b"0" {
        return Some("needs root: sudo ./x test".to_owned());
    }
    for (program, package) in
        [("mmdebstrap", "mmdebstrap"), ("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")]
    {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            return Some(format!("{program} is missing: apt-get install {package}"));
        }
    }
    None
}
