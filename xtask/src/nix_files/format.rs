//! All Nix files parse and stand as nixfmt would write them.

use crate::tidy::tracked;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Findings; with `write`, only what does not parse.
pub fn check(root: &Path, write: bool) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in tracked(root)?.iter().filter(|path| path.extension().is_some_and(|extension| extension == "nix")) {
        let file = root.join(path);
        if !file.exists() {
            continue;
        }
        let name = path.display().to_string();
        let text = fs::read_to_string(&file).with_context(|| name.clone())?;
        match nixfmt_rs::format(&text) {
            Err(error) => findings.push(nixfmt_rs::format_error(&text, Some(&name), &error)),
            Ok(formatted) if formatted == text => {}
            Ok(formatted) if write => fs::write(&file, formatted).with_context(|| name.clone())?,
            Ok(_) => findings.push(format!("{name} is not formatted; cargo xtask nix --write does it")),
        }
    }
    Ok(findings)
}
