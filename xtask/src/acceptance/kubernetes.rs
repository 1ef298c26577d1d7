//! What the modules hand to k3s, against Kubernetes' own schemas: every manifest of every case of modules/tests and of
//! every template.

use super::{Bench, Outcome, python};
use crate::nix_files;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::Command;

/// That of the k3s in the pinned nixpkgs, or older.
const VERSION: &str = "1.33";

/// Writes the manifests and has them judged.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let programs = match python::environment(bench, "kubernetes") {
        Ok(programs) => programs,
        Err(error) => return Ok(Outcome::Skipped(format!("no Python environment: {error:#}"))),
    };
    let Some(evaluation) = nix_files::evaluate(&bench.root)? else {
        return Ok(Outcome::Skipped("nix-instantiate is missing (Debian: nix-bin)".to_owned()));
    };
    let folder = tempfile::tempdir().context("a folder for manifests")?;
    let mut files = Vec::new();
    for manifest in evaluation.manifests() {
        let path = folder.path().join(format!("{}.yaml", files.len()));
        // JSON is YAML.
        fs::write(&path, manifest.to_string()).with_context(|| path.display().to_string())?;
        files.push(path);
    }
    ensure!(!files.is_empty(), "no case of modules/tests has manifests");
    let mut judge = Command::new(programs.join("kubernetes-validate"));
    // A warning says that there is no schema: for what only an operator brings, such as ServiceMonitor.
    judge.args(["--quiet", "--no-warn", "--strict", "-k", VERSION]).args(&files);
    let status = judge.status().context("kubernetes-validate")?;
    ensure!(status.success(), "Kubernetes would not take all of {} manifests", files.len());
    Ok(Outcome::Passed)
}
