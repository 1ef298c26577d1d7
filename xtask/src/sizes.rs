//! How much there is of what gets installed: each program, everything else of the package, and the libraries that the
//! programs load.

use crate::places::Places;
use crate::report::Table;
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the package is made of, besides what its programs write themselves.
const PROGRAMS: [&str; 5] = ["exo", "exo-master", "exo-worker", "exo-api", "exo-runner"];
const PARTS: [(&str, &[&str]); 3] =
    [("units and user", &["packaging"]), ("model exo-guide", &["models"]), ("documents", &["README.md", "docs"])];
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Prints how large the package is.
#[derive(Debug, Args)]
pub struct Sizes {
    /// Folder with exo's programs [default: they are built as for a release]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// As JSON: bytes of each part
    #[arg(long)]
    json: bool,
}

/// Measures, and tells.
pub fn run(options: &Sizes) -> Result<()> {
    let places = Places::find()?;
    let programs = match &options.programs {
        Some(folder) => folder.clone(),
        None => places.release()?,
    };
    let mut sizes: Vec<(String, u64)> = Vec::new();
    for program in PROGRAMS {
        let path = programs.join(program);
        ensure!(path.is_file(), "{} is missing; build it with `cargo build --release --bins`", path.display());
        sizes.push((program.to_owned(), size(&path)?));
    }
    for (name, paths) in PARTS {
        let bytes = paths.iter().map(|path| size(&places.root.join(path))).sum::<Result<u64>>()?;
        sizes.push((name.to_owned(), bytes));
    }
    sizes.push(("manual pages".to_owned(), manual_pages(&programs)?));
    sizes.push(("completions".to_owned(), completions(&programs)?));
    let package = sizes.iter().map(|(_, bytes)| bytes).sum();
    sizes.push(("exo-complete".to_owned(), package));
    let libraries = libraries(&programs)?;
    sizes.extend(libraries.iter().map(|(name, bytes)| (format!("+ {name}"), *bytes)));
    sizes.push(("with its libraries".to_owned(), package + libraries.values().sum::<u64>()));
    if options.json {
        println!("{:#}", json!(sizes.into_iter().collect::<BTreeMap<_, _>>()));
        return Ok(());
    }
    let mut table = Table::new(&["part", "KiB"]);
    sizes.into_iter().for_each(|(name, bytes)| table.row(vec![name, bytes.div_ceil(1024).to_string()]));
    println!("{}", table.render());
    Ok(())
}

/// Of a file, or of everything in a folder.
fn size(path: &Path) -> Result<u64> {
    let found = fs::metadata(path).with_context(|| path.display().to_string())?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

fn manual_pages(programs: &Path) -> Result<u64> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let status = Command::new(programs.join("exo")).arg("man").arg(folder.path()).status().context("exo man")?;
    ensure!(status.success(), "exo man ended with {status}");
    size(folder.path())
}

fn completions(programs: &Path) -> Result<u64> {
    let of = |shell: &str| -> Result<u64> {
        let output = Command::new(programs.join("exo")).args(["completions", shell]).output().context("exo")?;
        ensure!(output.status.success(), "exo completions {shell} ended with {}", output.status);
        Ok(output.stdout.len() as u64)
    };
    SHELLS.into_iter().map(of).sum()
}

/// What the loader finds for the programs on this machine; with Nix these lie in the closure.
fn libraries(programs: &Path) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for program in PROGRAMS {
        let output = Command::new("ldd").arg(programs.join(program)).output().context("ldd")?;
        ensure!(output.status.success(), "ldd {program} ended with {}", output.status);
        for path in paths(&String::from_utf8_lossy(&output.stdout)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.insert(name, size(&path)?);
        }
    }
    Ok(found)
}

/// Of ldd's lines, `libc.so.6 => /lib/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`, the files.
fn paths(lines: &str) -> Vec<PathBuf> {
    let file = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    lines.lines().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_from_what_the_kernel_brings() {
        let lines =
            "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected = ["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths(lines), expected.map(PathBuf::from));
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("inner")).expect("made");
        for (name, text) in [("a", "four"), ("inner/b", "seven77")] {
            fs::write(folder.path().join(name), text).expect("written");
        }
        assert_eq!(size(folder.path()).expect("readable"), 11);
        assert!(size(Path::new("/no/such/file")).is_err());
    }
}
