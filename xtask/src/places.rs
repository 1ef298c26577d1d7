//! Where things are: the repository, what is built, what is generated once and kept.

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use std::path::PathBuf;
use std::process::Command;

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

    /// A folder for generated models, which are kept from run to run.
    pub fn generated_models(&self) -> Result<PathBuf> {
        let folder = self.target.join("bench-models");
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// Builds programs of the workspace as users get them and returns the folder they are in.
    pub fn release(&self, packages: &[&str]) -> Result<PathBuf> {
        let mut command = Command::new("cargo");
        command.args(["build", "--release", "--quiet", "--locked"]).current_dir(&self.root);
        packages.iter().for_each(|package| {
            command.args(["--package", package]);
        });
        eprintln!("building {} (release)", packages.join(", "));
        ensure!(command.status().context("cargo does not start")?.success(), "{} do not build", packages.join(", "));
        Ok(self.target.join("release"))
    }
}
