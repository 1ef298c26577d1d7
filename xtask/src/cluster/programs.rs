//! exo's programs, built.

use crate::places::Places;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// The packages whose programs a cluster runs.
const PACKAGES: [&str; 5] = ["exo", "exo-master", "exo-worker", "exo-api", "exo-runner"];

/// The folder that they are in.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds them with the profile that this program was built with, so that most of it is there already.
    pub fn build(places: &Places) -> Result<Self> {
        let own = std::env::current_exe().context("path of this program")?;
        let folder = own.parent().context("a program lies in a folder")?.to_path_buf();
        if folder.ends_with("release") {
            return Ok(Self { folder: places.release(&PACKAGES)? });
        }
        // All of the workspace, as `./x test` builds it: cargo would build much of it anew for fewer packages.
        let mut command = Command::new("cargo");
        command.args(["build", "--quiet", "--locked", "--workspace", "--bins"]).current_dir(&places.root);
        eprintln!("building exo's programs");
        ensure!(command.status().context("cargo does not start")?.success(), "exo's programs do not build");
        Ok(Self { folder })
    }

    /// Path of one.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
