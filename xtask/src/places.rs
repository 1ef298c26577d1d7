//! Where things are: the repository, what is built, what is generated once and kept.

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use std::path::PathBuf;
use std::process::Command;

/// Cargo, as a shell would start it.
///
/// `cargo xtask` tells this program which package it is. Cargo would pass that on to build scripts, and builds those anew
/// that look at it, with all that needs them: ring's does, and most of the workspace needs ring.
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    let of_this_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_this_package)) {
        command.env_remove(name);
    }
    command
}

/// Folders that the chores use.
pub struct Places {
    /// The repository.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl Places {
    /// Asks cargo.
    pub fn find() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
        Ok(Self {
            root: metadata.workspace_root.into_std_path_buf(),
            target: metadata.target_directory.into_std_path_buf(),
        })
    }

    /// The model that comes with the project.
    pub fn guide_model(&self) -> PathBuf {
        self.root.join("models/exo-guide.gguf")
    }

    /// Conversations that the model was not trained on.
    pub fn held_out_text(&self) -> PathBuf {
        self.root.join("tools/guide-model/heldout.txt")
    }

    /// A folder for generated models, which are kept from run to run.
    pub fn generated_models(&self) -> Result<PathBuf> {
        let folder = self.target.join("bench-models");
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// Builds every program of the workspace as users get them and returns the folder they are in.
    ///
    /// Always all of them: cargo unites the features of what it builds in one go, and would build most libraries anew
    /// for another choice of packages. Without the simulation, which has a switch built into the others that puts
    /// known bugs back; the libraries of others stay the same without it.
    pub fn release(&self) -> Result<PathBuf> {
        self.build(&["--bins", "--release", "--exclude", "exo-sim"])?;
        Ok(self.target.join("release"))
    }

    /// Builds the simulation as users' programs are built, and returns it.
    ///
    /// With the features of the whole workspace, so that libraries of others are not built anew.
    pub fn simulation(&self) -> Result<PathBuf> {
        self.build(&["--bin", "exo-sim", "--release"])?;
        Ok(self.target.join("release/exo-sim"))
    }

    /// Every program with the profile of the tests, and with their features: both are one build.
    pub fn development(&self) -> Result<PathBuf> {
        self.build(&["--bins"])?;
        Ok(self.target.join("debug"))
    }

    fn build(&self, what: &[&str]) -> Result<()> {
        let mut command = cargo();
        command.args(["build", "--quiet", "--locked", "--workspace"]).args(what).current_dir(&self.root);
        eprintln!("building exo's programs");
        ensure!(command.status().context("cargo does not start")?.success(), "exo's programs do not build");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_which_package_asks() {
        let command = cargo();
        let told: Vec<_> = command.get_envs().filter(|(name, _)| *name == "CARGO_PKG_NAME").collect();
        assert_eq!(told, [("CARGO_PKG_NAME".as_ref(), None)], "the test's own package is xtask");
    }
}
