//! What exo's package puts onto a machine, as a tree that is laid over the base system.

use super::base_system::run;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: [&str; 5] = ["exo", "exo-master", "exo-worker", "exo-api", "exo-runner"];
/// From the repository: a folder of files, and where a distribution puts them.
const FILES: [(&str, &str); 3] = [
    ("packaging/systemd", "usr/lib/systemd/system"),
    ("packaging/sysusers", "usr/lib/sysusers.d"),
    ("models", "usr/share/exo/models"),
];

/// Writes the tree anew: programs, units, user, models, and the enabled services.
pub fn install(repository: &Path, programs: &Path, base: &Path, tree: &Path) -> Result<PathBuf> {
    if tree.exists() {
        fs::remove_dir_all(tree).context("the package of the last run")?;
    }
    for program in PROGRAMS {
        let source = programs.join(program);
        ensure!(source.is_file(), "{} is missing; build it with `cargo build --bins`", source.display());
        copy(&source, &tree.join("usr/bin").join(program))?;
    }
    for (from, to) in FILES {
        for entry in fs::read_dir(repository.join(from)).with_context(|| from.to_owned())? {
            let path = entry?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                copy(&path, &tree.join(to).join(name))?;
            }
        }
    }
    let wants = tree.join("etc/systemd/system/exo.target.wants");
    fs::create_dir_all(&wants)?;
    for role in ["hardware", "master", "worker", "api"] {
        symlink(format!("/usr/lib/systemd/system/exo-{role}.service"), wants.join(format!("exo-{role}.service")))?;
    }
    make_user(base, tree)?;
    Ok(tree.to_path_buf())
}

/// The container's own systemd-sysusers: an older one on the host does not know every line of newer files.
fn make_user(base: &Path, tree: &Path) -> Result<()> {
    for file in ["passwd", "group", "shadow", "gshadow"] {
        copy(&base.join("etc").join(file), &tree.join("etc").join(file))?;
    }
    let conf = tree.join("usr/lib/sysusers.d/exo.conf");
    run(Command::new("systemd-sysusers").arg(format!("--root={}", tree.display())).arg(conf))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}
