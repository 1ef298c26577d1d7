//! flake.lock locks what flake.nix asks for, and nothing else.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What flake.nix says of an input.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Input {
    url: String,
}

/// Findings. `inputs` are those of flake.nix.
pub fn check(inputs: &BTreeMap<String, Input>, lock: &str) -> Vec<String> {
    let lock: Value = match serde_json::from_str(lock) {
        Ok(lock) => lock,
        Err(error) => return vec![format!("flake.lock: {error}")],
    };
    let mut findings = Vec::new();
    if lock["version"] != 7 {
        findings.push(format!("flake.lock: version {}, expected 7", lock["version"]));
    }
    let root = lock["root"].as_str().unwrap_or_default();
    let locked = lock["nodes"][root]["inputs"].as_object().cloned().unwrap_or_default();
    for name in locked.keys().filter(|name| !inputs.contains_key(*name)) {
        findings.push(format!("flake.lock locks {name}, which flake.nix does not ask for"));
    }
    for (name, input) in inputs {
        match locked.get(name).and_then(Value::as_str) {
            None => findings.push(format!("flake.lock does not lock {name}")),
            Some(node) => findings.extend(check_node(name, input, &lock["nodes"][node])),
        }
    }
    findings
}

fn check_node(name: &str, input: &Input, node: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let Some(original) = reference(&input.url) else {
        return vec![format!("flake.nix: {name}: {} is not github:OWNER/REPOSITORY/REF", input.url)];
    };
    if node["original"] != original {
        findings.push(format!("flake.lock: {name} was locked for {}, flake.nix asks for {original}", node["original"]));
    }
    let locked = &node["locked"];
    for part in ["owner", "repo", "type"] {
        if locked[part] != original[part] {
            findings.push(format!("flake.lock: {name}: {part} is {}, expected {}", locked[part], original[part]));
        }
    }
    let text = |part: &str| locked[part].as_str().unwrap_or_default().to_owned();
    let (rev, hash) = (text("rev"), text("narHash"));
    if rev.len() != 40 || !rev.chars().all(|c| c.is_ascii_hexdigit()) {
        findings.push(format!("flake.lock: {name}: rev {rev:?} is no commit"));
    }
    if !hash.starts_with("sha256-") || hash.len() != "sha256-".len() + 44 {
        findings.push(format!("flake.lock: {name}: narHash {hash:?} is no hash"));
    }
    findings
}

/// `github:OWNER/REPOSITORY/REF`, as a lock file writes it.
fn reference(url: &str) -> Option<Value> {
    let mut parts = url.strip_prefix("github:")?.splitn(3, '/');
    let (owner, repo, reference) = (parts.next()?, parts.next()?, parts.next()?);
    Some(json!({ "owner": owner, "ref": reference, "repo": repo, "type": "github" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Value {
        json!({
            "nodes": {
                "nixpkgs": {
                    "locked": {
                        "lastModified": 1, "narHash": format!("sha256-{}", "A".repeat(44)), "owner": "NixOS",
                        "repo": "nixpkgs", "rev": "3".repeat(40), "type": "github",
                    },
                    "original": { "owner": "NixOS", "ref": "nixos-26.05", "repo": "nixpkgs", "type": "github" },
                },
                "root": { "inputs": { "nixpkgs": "nixpkgs" } },
            },
            "root": "root",
            "version": 7,
        })
    }

    fn findings(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut lock = lock();
        change(&mut lock);
        let url = "github:NixOS/nixpkgs/nixos-26.05".to_owned();
        check(&BTreeMap::from([("nixpkgs".to_owned(), Input { url })]), &lock.to_string())
    }

    #[test]
    fn a_lock_that_agrees_is_taken_and_each_disagreement_is_named() {
        assert_eq!(findings(|_| ()), Vec::<String>::new());
        for (path, value, expect) in [
            ("/version", json!(6), "version 6"),
            ("/nodes/root/inputs/other", json!("nixpkgs"), "locks other"),
            ("/nodes/root/inputs", json!({}), "does not lock nixpkgs"),
            ("/nodes/nixpkgs/original/ref", json!("nixos-25.11"), "was locked for"),
            ("/nodes/nixpkgs/locked/owner", json!("somebody"), "owner is \"somebody\""),
            ("/nodes/nixpkgs/locked/rev", json!("main"), "no commit"),
            ("/nodes/nixpkgs/locked/narHash", json!("sha256-x"), "no hash"),
        ] {
            let said = findings(|lock| {
                let (parent, name) = path.rsplit_once('/').expect("a path");
                lock.pointer_mut(parent).expect(parent)[name] = value;
            });
            assert!(said.iter().any(|finding| finding.contains(expect)), "{path}: {said:?}");
        }
    }
}
