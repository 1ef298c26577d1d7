//! The project's Nix files, checked without nixpkgs: parsed, formatted, and evaluated by a real Nix against the stand-in
//! for nixpkgs in xtask/nix.
//!
//! That covers what the files say about exo: every output of the flake, every option, every refusal and its words, and that
//! exo's own programs take the configuration that the modules write. It covers nothing that only nixpkgs knows: whether
//! NixOS has the options that the modules set and takes these values, and whether anything builds. `nix flake check` does.

mod building;
mod dead_code;
mod evaluation;
mod format;
mod keys;
mod lock;

pub use evaluation::evaluate;

use crate::places::Places;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Page of all options, generated from the modules.
const OPTIONS: &str = "docs/options.md";

/// How to check.
#[derive(Debug, Args)]
pub struct NixFiles {
    /// Format the files and renew docs/options.md instead of complaining.
    #[arg(long)]
    write: bool,
}

/// Runs every check that this machine can and reports all findings at once.
pub fn run(options: &NixFiles) -> Result<()> {
    let root = Places::find()?.root;
    let mut findings = format::check(&root, options.write)?;
    match dead_code::check(&root)? {
        Some(unused) => findings.extend(unused),
        None => println!("nix: unused names not looked for, deadnix is missing (cargo install deadnix)"),
    }
    match evaluate(&root)? {
        Some(found) => {
            findings.extend(lock::check(&found.inputs, &read(&root, "flake.lock")?));
            page(&root, &found.options, options.write, &mut findings)?;
            findings.extend(found.refusals());
            println!("nix: {} cases of the modules, {} systems and packages", found.count, found.made());
        }
        None => println!("nix: not evaluated, nix-instantiate is missing (Debian: nix-bin); parsed and formatted only"),
    }
    findings.extend(keys::check(&root)?);
    match programs() {
        Some(programs) => findings.extend(building::check(&root, &programs)?.unwrap_or_default()),
        None => println!("nix: no system was built, exo's programs are not; `cargo build --bins` makes them"),
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} findings\n  {}", findings.len(), findings.join("\n  "))
}

/// The folder of this program, if exo's lie there too.
fn programs() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let folder = own.parent()?;
    folder.join("exo-master").is_file().then(|| folder.to_path_buf())
}

fn read(root: &Path, name: &str) -> Result<String> {
    fs::read_to_string(root.join(name)).with_context(|| name.to_owned())
}

fn page(root: &Path, text: &str, write: bool, findings: &mut Vec<String>) -> Result<()> {
    if write {
        fs::write(root.join(OPTIONS), text).context(OPTIONS)?;
    } else if read(root, OPTIONS)? != text {
        findings.push(format!("{OPTIONS} is not what the options say; cargo xtask nix --write renews it"));
    }
    Ok(())
}
