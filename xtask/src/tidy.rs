//! What the compiler does not check.

mod exo_cases;

use crate::graph;
use crate::layer::Layer;
use crate::workspace::{Member, Workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest Rust file: beyond it, split.
const LONGEST_FILE: usize = 600;

/// All that a pure crate may depend on besides our own pure crates: nothing that acts. Longer only after a look at what
/// the library does.
const HARMLESS: [&str; 11] = [
    "base64",
    "fancy-regex",
    "jiff",
    "minijinja",
    "minijinja-contrib",
    "rmp-serde",
    "serde",
    "serde_json",
    "thiserror",
    "toml",
    "unicode-normalization",
];

/// Outside things, and the crates that may name them. Everything else goes through those crates.
const WRAPPED: [(&str, &[&str]); 17] = [
    ("cudarc", &["exo-hardware"]),
    ("nvml-wrapper", &["exo-hardware"]),
    ("zenoh", &["exo-bus"]),
    ("openraft", &["exo-log"]),
    ("rcgen", &["exo-identity"]),
    ("x509-parser", &["exo-identity"]),
    ("redb", &["exo-log"]),
    ("axum", &["exo-http"]),
    ("hyper", &["exo-http"]),
    ("memmap2", &["exo-gguf"]),
    ("sd-notify", &["exo-telemetry"]),
    ("tracing-journald", &["exo-telemetry"]),
    ("tracing-subscriber", &["exo-telemetry"]),
    ("minijinja", &["exo-text"]),
    ("minijinja-contrib", &["exo-text"]),
    ("socket2", &["exo-bus", "exo-tensor-link"]),
    ("toml", &["exo-config"]),
];

/// Runs every check and reports all findings at once.
pub fn run() -> Result<()> {
    let workspace = Workspace::read()?;
    let mut findings = Vec::new();
    for member in workspace.members.values() {
        check_layers(&workspace, member, &mut findings);
        check_wrapped(member, &mut findings);
        check_header(member, &mut findings)?;
    }
    check_pure_lints(&workspace, &mut findings);
    check_files(&workspace.root, &mut findings)?;
    check_dependency_list(&workspace, &mut findings)?;
    check_promises(&workspace.root, &mut findings)?;
    exo_cases::check(&workspace.root, &mut findings)?;
    if let Err(error) = graph::check(&workspace) {
        findings.push(format!("{error:#}"));
    }
    if findings.is_empty() {
        println!("tidy: {} crates, nothing to say", workspace.members.len());
        return Ok(());
    }
    bail!("{} findings\n  {}", findings.len(), findings.join("\n  "))
}

fn check_layers(workspace: &Workspace, member: &Member, findings: &mut Vec<String>) {
    // All roles in one process: the command line (`exo up`) and the simulated cluster.
    let holds_services = ["exo", "exo-sim"].contains(&member.name.as_str());
    for dependency in workspace.own_dependencies(member) {
        let allowed = member.layer.may_use(dependency.layer) || (holds_services && dependency.layer == Layer::Service);
        if !allowed {
            let (from, to) = (member.layer.name(), dependency.layer.name());
            findings.push(format!("{} ({from}) must not depend on {} ({to})", member.name, dependency.name));
        }
    }
    if member.layer == Layer::Pure {
        let others = member.dependencies.iter().filter(|name| !workspace.members.contains_key(*name));
        for name in others.filter(|name| !HARMLESS.contains(&name.as_str())) {
            findings
                .push(format!("{} is pure and must not depend on {name}, unless tidy's HARMLESS has it", member.name));
        }
    }
}

fn check_wrapped(member: &Member, findings: &mut Vec<String>) {
    for (library, wrappers) in WRAPPED {
        let names_it = member.dependencies.iter().any(|name| name == library);
        if names_it && !wrappers.contains(&member.name.as_str()) {
            findings.push(format!("{} names {library}, which belongs to {}", member.name, wrappers.join(", ")));
        }
    }
}

fn check_header(member: &Member, findings: &mut Vec<String>) -> Result<()> {
    let library = member.folder.join("src/lib.rs");
    let root = if library.exists() { library } else { member.folder.join("src/main.rs") };
    let text = fs::read_to_string(&root).with_context(|| root.display().to_string())?;
    let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let layer = member.layer.name();
    let stated = header.trim_start_matches("//! ").to_lowercase().starts_with(&format!("{layer}."));
    if !stated || !header.to_lowercase().contains("knows nothing of") {
        findings.push(format!(
            "{}: the crate header must begin with its layer ({layer}) and say what it knows nothing of",
            member.name
        ));
    }
    Ok(())
}

/// Every pure crate has the same bans.
fn check_pure_lints(workspace: &Workspace, findings: &mut Vec<String>) {
    let mut first: Option<(&str, String)> = None;
    for member in workspace.of_layer(Layer::Pure) {
        match (fs::read_to_string(member.folder.join("clippy.toml")), &first) {
            (Err(_), _) => {
                findings
                    .push(format!("{} is pure and has no clippy.toml that bans the clock and the disk", member.name));
            }
            (Ok(bans), None) => first = Some((&member.name, bans)),
            (Ok(bans), Some((other, expected))) if bans != *expected => {
                findings.push(format!("{}: its clippy.toml is not that of {other}; pure crates have one", member.name));
            }
            (Ok(_), Some(_)) => {}
        }
    }
}

/// Files that git knows, relative to the root.
pub fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().context("git ls-files")?;
    let names = String::from_utf8(output.stdout).context("file names are UTF-8")?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn check_files(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for path in tracked(root)? {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if !is_rust || !root.join(&path).exists() {
            continue;
        }
        let text = fs::read_to_string(root.join(&path)).with_context(|| path.display().to_string())?;
        let name = path.display();
        if path.file_name().is_some_and(|file| file == "mod.rs") {
            findings.push(format!("{name}: use {}.rs beside the folder", path.parent().unwrap_or(&path).display()));
        }
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            findings.push(format!("{name}: {lines} lines, at most {LONGEST_FILE}"));
        }
        let ignores = text.lines().any(|line| line.trim_start().starts_with("#[ignore"));
        if ignores {
            findings.push(format!("{name}: an ignored test proves nothing"));
        }
    }
    Ok(())
}

/// Every outside dependency of the workspace has its line in docs/dependencies.md, and nothing else has one.
fn check_dependency_list(workspace: &Workspace, findings: &mut Vec<String>) -> Result<()> {
    const DOCUMENT: &str = "docs/dependencies.md";
    let text = fs::read_to_string(workspace.root.join(DOCUMENT)).context(DOCUMENT)?;
    let listed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut used: BTreeMap<&str, &str> = BTreeMap::new();
    for member in workspace.members.values() {
        for name in member.dependencies.iter().filter(|name| !workspace.members.contains_key(*name)) {
            used.insert(name, &member.name);
        }
    }
    for (name, member) in used.iter().filter(|(name, _)| !listed.contains(name)) {
        findings.push(format!("{DOCUMENT}: no line for {name}, which {member} uses"));
    }
    for name in listed.iter().filter(|name| !used.contains_key(*name)) {
        findings.push(format!("{DOCUMENT}: {name} is listed, nothing uses it"));
    }
    Ok(())
}

/// Every test that a table names in its last column exists: README's promises, and the failures that others had.
fn check_promises(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for (document, heading) in [("README.md", "| Promise"), ("docs/failures.md", "| EXO's issue")] {
        let text = fs::read_to_string(root.join(document)).context(document)?;
        let rows = text.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
        for row in rows.take_while(|line| line.starts_with('|')) {
            check_row(root, document, row, findings);
        }
    }
    Ok(())
}

fn check_row(root: &Path, document: &str, row: &str, findings: &mut Vec<String>) {
    let proof = row.rsplit('|').nth(1).unwrap_or_default();
    let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        findings.push(format!("{document}: no test is named for {row:?}"));
    }
    for name in names {
        if !names_a_test(root, name) {
            findings.push(format!("{document}: {name} does not exist"));
        }
    }
}

/// Whether `file::test`, or `file` alone, is there.
fn names_a_test(root: &Path, name: &str) -> bool {
    match name.split_once("::") {
        None => root.join(name).exists(),
        Some((file, test)) => {
            let source = fs::read_to_string(root.join(file));
            source.is_ok_and(|source| source.contains(&format!("fn {test}(")))
        }
    }
}

#[cfg(test)]
mod tests;
