//! No name in a Nix file that nobody uses, as deadnix sees it.

use crate::tidy::tracked;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// What deadnix tells of one file, in one line.
#[derive(Debug, Deserialize)]
struct File {
    file: String,
    results: Vec<Unused>,
}

#[derive(Debug, Deserialize)]
struct Unused {
    line: usize,
    message: String,
}

/// Findings; nothing if this machine has no deadnix.
pub fn check(root: &Path) -> Result<Option<Vec<String>>> {
    let files = tracked(root)?.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "nix"));
    let files = files.filter(|path| root.join(path).exists());
    let output = match Command::new("deadnix").args(["--output-format", "json"]).args(files).current_dir(root).output()
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output.context("deadnix")?,
    };
    ensure!(output.status.success(), "deadnix: {}", String::from_utf8_lossy(&output.stderr));
    findings(&String::from_utf8_lossy(&output.stdout)).map(Some)
}

fn findings(lines: &str) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for line in lines.lines() {
        let File { file, results } = serde_json::from_str(line).context("what deadnix tells")?;
        let told = results.iter().map(|unused| format!("{file}:{}: {}", unused.line, unused.message));
        findings.extend(told);
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unused_name_is_a_finding_with_its_place() {
        let line =
            r#"{"file":"a.nix","results":[{"column":3,"endColumn":5,"line":2,"message":"Unused let binding x"}]}"#;
        assert_eq!(findings(line).expect("understood"), ["a.nix:2: Unused let binding x"]);
        assert!(findings("").expect("understood").is_empty());
        assert!(findings("nonsense").is_err());
    }
}
