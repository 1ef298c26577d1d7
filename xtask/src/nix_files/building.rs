//! Bad configuration fails the build of a system, not its service: shown by a real Nix that builds what the modules make
//! of options, in a store of its own that is thrown away.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Output};

/// A user's Nix settings do not matter here, nor does a daemon.
const SETTINGS: &str = "sandbox = false\nbuild-users-group =\nsubstituters =\n";

/// Findings; nothing if this machine has no Nix. `programs` is the folder with exo's programs.
pub fn check(root: &Path, programs: &Path) -> Result<Option<Vec<String>>> {
    let folder = tempfile::tempdir().context("a folder for a store")?;
    std::os::unix::fs::symlink(programs, folder.path().join("bin")).context("a link to the programs")?;
    let build = |settings: &str| build(root, folder.path(), settings);
    let Some(good) = build("{ api.port = 8080; }")? else { return Ok(None) };
    let Some(wrong) = build("{ api.prot = 8080; }")? else { return Ok(None) };
    let mut findings = Vec::new();
    if !good.status.success() {
        findings.push(format!("a good configuration does not build:\n{}", told(&good)));
    }
    let said = told(&wrong);
    if wrong.status.success() {
        findings.push("a configuration with an unknown key builds".to_owned());
    } else if !["unknown key", "prot", "port"].iter().all(|part| said.contains(part)) {
        findings.push(format!("a configuration with an unknown key fails without a word of it:\n{said}"));
    }
    Ok(Some(findings))
}

fn build(root: &Path, folder: &Path, settings: &str) -> Result<Option<Output>> {
    let expression = format!(
        "import {0}/xtask/nix/build.nix {{ root = {0}; programs = \"{1}\"; settings = {settings}; }}",
        root.display(),
        folder.display()
    );
    let mut command = Command::new("nix-build");
    command.args(["--no-out-link", "--expr", &expression]).env("NIX_CONFIG", SETTINGS).env("NIX_REMOTE", "");
    for (name, inner) in [("STORE", "store"), ("STATE", "state"), ("LOG", "log"), ("CONF", "etc"), ("DATA", "data")] {
        command.env(format!("NIX_{name}_DIR"), folder.join(inner));
    }
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        output => Ok(Some(output.context("nix-build")?)),
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
