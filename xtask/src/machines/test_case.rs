//! The tests that lie in nixos-tests/.

use super::base_system::Kind;
use anyhow::{Context, Result};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The line of a test's .nix that says why containers cannot run it; virtual machines can.
const NEEDS_KERNEL: &str = "# Not in containers: ";
/// The line that says why it needs NixOS itself.
const NEEDS_NIXOS: &str = "# Only on NixOS: ";

/// One test: NAME.nix, and NAME.py beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Without ending.
    pub name: String,
    /// What the machines have to show.
    pub script: PathBuf,
    /// The first line of the script.
    pub claim: String,
    /// What it needs of its machines.
    pub needs: Needs,
}

/// On which machines a test can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// On all.
    Nothing,
    /// On those with a kernel of their own, for this reason.
    Kernel(String),
    /// On NixOS only, for this reason.
    NixOs(String),
}

impl TestCase {
    /// Why machines of this kind cannot run it, if so.
    pub fn refusal(&self, kind: Kind) -> Option<String> {
        match (&self.needs, kind) {
            (Needs::Nothing, _) | (Needs::Kernel(_), Kind::Virtual) => None,
            (Needs::Kernel(reason), Kind::Container) => Some(format!("not in containers, with --vm: {reason}")),
            (Needs::NixOs(reason), _) => Some(format!("only on NixOS: {reason}")),
        }
    }

    /// Whether it is what machines of this kind are for: virtual ones for what containers cannot show.
    pub fn is_usual(&self, kind: Kind) -> bool {
        match kind {
            Kind::Container => self.needs == Needs::Nothing,
            Kind::Virtual => matches!(self.needs, Needs::Kernel(_)),
        }
    }
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
    let reason = |mark: &str| machines.lines().find_map(|line: &str| line.strip_prefix(mark)).map(str::to_owned);
    let needs = match (reason(NEEDS_NIXOS), reason(NEEDS_KERNEL)) {
        (Some(reason), _) => Needs::NixOs(reason),
        (None, Some(reason)) => Needs::Kernel(reason),
        (None, None) => Needs::Nothing,
    };
    Ok(TestCase { name, script, claim, needs })
}

impl fmt::Display for TestCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.refusal(Kind::Container).unwrap_or_else(|| self.claim.clone());
        write!(f, "{:<24} {said}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_of_the_project_says_what_it_claims_and_has_its_machines() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nixos-tests");
        let tests = find(&folder).expect("every script has a .nix beside it");
        assert!(tests.iter().any(|test| test.name == "single-node" && test.is_usual(Kind::Container)));
        assert!(tests.iter().any(|test| test.name == "bond-failover" && test.is_usual(Kind::Virtual)));
        for test in &tests {
            assert!(test.claim.len() > 20, "{}: {:?}", test.name, test.claim);
            let is_described = test.script.with_extension("toml").exists();
            let needs_nixos = matches!(test.needs, Needs::NixOs(_));
            assert!(is_described || needs_nixos, "{}: no machines but NixOS's", test.name);
            assert_eq!(test.refusal(Kind::Virtual).is_some(), needs_nixos, "{}", test.name);
        }
        let nix = fs::read_dir(&folder).expect("the folder").filter_map(|entry| Some(entry.ok()?.path()));
        let nix = nix.filter(|path| path.extension().is_some_and(|extension| extension == "nix"));
        assert_eq!(nix.count(), tests.len() + 1, "one .nix for each script, and default.nix");
    }
}
