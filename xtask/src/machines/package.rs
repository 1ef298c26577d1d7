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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Values of a key of all units.
    fn named(key: &str) -> BTreeSet<String> {
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
        let units = fs::read_dir(units).expect("the units").map(|entry| entry.expect("a unit").path());
        let texts = units.map(|unit| fs::read_to_string(unit).expect("a unit is text"));
        let values = texts.flat_map(|text| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            lines.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
        });
        values.collect()
    }

    /// Names in lines of the package's sysusers.d file that begin with one of these letters; a user comes with its group.
    fn made(letters: &[&str]) -> BTreeSet<String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/sysusers/exo.conf");
        let text = fs::read_to_string(file).expect("the file");
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let names = lines.filter(|(letter, _)| letters.contains(letter)).filter_map(|(_, rest)| rest.split(' ').next());
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_user_and_group_that_a_unit_names_is_made_by_the_package() {
        assert_eq!(named("User"), made(&["u"]));
        let groups: BTreeSet<String> = named("Group").into_iter().chain(named("SupplementaryGroups")).collect();
        assert_eq!(groups, made(&["u", "g"]));
    }
}
