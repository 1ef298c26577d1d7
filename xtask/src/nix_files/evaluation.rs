//! What a real Nix makes of the files, with the stand-in for nixpkgs.

use super::lock::Input;
use anyhow::{Context, Result, ensure};
use exo_config::{Config, Sources, Surroundings};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The case of the modules' tests in which nothing is set but `enable`.
const BARE: &str = "nothing but enable";

/// What xtask/nix/check.nix evaluates to.
#[derive(Debug, Deserialize)]
pub struct Evaluation {
    /// Inputs of flake.nix.
    pub inputs: BTreeMap<String, Input>,
    /// Cases of the modules' tests.
    pub count: usize,
    /// Text of docs/options.md.
    pub options: String,
    failures: Vec<String>,
    /// exo.toml of every case and every system, by its name.
    settings: BTreeMap<String, String>,
    /// The file of wanted instances, likewise.
    instances: BTreeMap<String, String>,
    /// What k3s gets, by the name of the case or system and of the manifest.
    manifests: BTreeMap<String, BTreeMap<String, Value>>,
    outputs: BTreeMap<String, Value>,
}

/// Evaluates; nothing if this machine has no Nix. Builds nothing and writes into no store.
pub fn evaluate(root: &Path) -> Result<Option<Evaluation>> {
    let expression = format!("import {0}/xtask/nix/check.nix {{ root = {0}; }}", root.display());
    let mut command = Command::new("nix-instantiate");
    command.args(["--eval", "--strict", "--json", "--readonly-mode", "--store", "dummy://", "--expr", &expression]);
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output.context("nix-instantiate")?,
    };
    ensure!(output.status.success(), "the Nix files do not evaluate:\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("what xtask/nix/check.nix evaluates to").map(Some)
}

impl Evaluation {
    /// What the modules' tests found, and what exo's own programs do not take of what the modules write.
    pub fn refusals(&self) -> Vec<String> {
        let mut findings = self.failures.clone();
        for (case, text) in &self.settings {
            if let Err(error) = load(Some(text)) {
                findings.push(format!("{case}: exo does not take the configuration: {error}"));
            }
        }
        for (case, text) in &self.instances {
            if let Err(error) = exo_config::read_wanted(text) {
                findings.push(format!("{case}: exo does not take the instances: {error}"));
            }
        }
        findings.extend(self.other_defaults());
        findings
    }

    /// Everything that some case or system hands to k3s.
    pub fn manifests(&self) -> impl Iterator<Item = &Value> {
        self.manifests.values().flat_map(BTreeMap::values)
    }

    /// Packages, checks, apps and systems that were evaluated.
    pub fn made(&self) -> usize {
        self.outputs.values().filter_map(Value::as_object).map(serde_json::Map::len).sum()
    }

    /// Where nothing is set, the modules say what exo.toml says anyway, but for the folders of a service.
    fn other_defaults(&self) -> Vec<String> {
        let Some(bare) = self.settings.get(BARE) else { return vec![format!("there is no case {BARE:?}")] };
        match (load(Some(bare)), load(None)) {
            (Ok(of_module), Ok(own)) => {
                let service = Config { data_dir: of_module.data_dir.clone(), models: of_module.models.clone(), ..own };
                let differ = service != of_module;
                differ
                    .then(|| {
                        format!("the modules' defaults are not exo.toml's:\n{of_module:#?}\nexpected\n{service:#?}")
                    })
                    .into_iter()
                    .collect()
            }
            // The first is a finding already.
            _ => Vec::new(),
        }
    }
}

fn load(text: Option<&str>) -> Result<Config, exo_config::ConfigErrors> {
    let surroundings = Surroundings { host_name: "nixos".to_owned(), data_dir: "/var/lib/exo".to_owned() };
    let file = text.map(|text| ("exo.toml", text));
    let sources = Sources { surroundings, file, environment: Vec::new(), flags: Vec::new() };
    exo_config::load(&sources).map(|loaded| loaded.config)
}
