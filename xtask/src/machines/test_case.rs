//! The tests that lie in nixos-tests/.

use anyhow::{Context, Result};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The line of a test's .nix that says why containers cannot run it.
const ELSEWHERE: &str = "# Not in containers: ";

/// One test: NAME.nix, and NAME.py beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Without ending.
    pub name: String,
    /// What the machines have to show.
    pub script: PathBuf,
    /// The first line of the script.
    pub claim: String,
    /// Why containers cannot run it.
    pub only_elsewhere: Option<String>,
}

/// All tests of a folder, by name.
pub fn find(folder: &Path) -> Result<Vec<TestCase>> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let script = entry?.path();
        if script.extension().is_some_and(|extension| extension == "py") {
            tests.push(read(script)?);
        }
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

fn read(script: PathBuf) -> Result<TestCase> {
    let name = script.file_stem().and_then(|name| name.to_str()).context("a test has a name")?.to_owned();
    let machines = script.with_extension("nix");
    let machines = fs::read_to_string(&machines).with_context(|| machines.display().to_string())?;
    let text = fs::read_to_string(&script).with_context(|| script.display().to_string())?;
    let claim = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']).to_owned();
    let only_elsewhere = machines.lines().find_map(|line| line.strip_prefix(ELSEWHERE)).map(str::to_owned);
    Ok(TestCase { name, script, claim, only_elsewhere })
}

impl fmt::Display for TestCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.only_elsewhere {
            None => write!(f, "{:<24} {}", self.name, self.claim),
            Some(reason) => write!(f, "{:<24} not in containers: {reason}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_of_the_project_says_what_it_claims_and_has_its_machines() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nixos-tests");
        let tests = find(&folder).expect("every script has a .nix beside it");
        assert!(tests.iter().any(|test| test.name == "single-node" && test.only_elsewhere.is_none()));
        for test in &tests {
            assert!(test.claim.len() > 20, "{}: {:?}", test.name, test.claim);
            let is_described = test.script.with_extension("toml").exists();
            assert!(is_described || test.only_elsewhere.is_some(), "{}: no machines for containers", test.name);
        }
        let nix = fs::read_dir(&folder).expect("the folder").filter_map(|entry| Some(entry.ok()?.path()));
        let nix = nix.filter(|path| path.extension().is_some_and(|extension| extension == "nix"));
        assert_eq!(nix.count(), tests.len() + 1, "one .nix for each script, and default.nix");
    }
}
