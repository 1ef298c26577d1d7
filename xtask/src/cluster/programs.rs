//! exo's programs, built.

use crate::places::Places;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// The folder that they are in.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds them with the profile that this program was built with, so that most of it is there already.
    pub fn build(places: &Places) -> Result<Self> {
        let own = std::env::current_exe().context("path of this program")?;
        let folder = own.parent().context("a program lies in a folder")?;
        let folder = if folder.ends_with("release") { places.release()? } else { places.development()? };
        Ok(Self { folder })
    }

    /// Path of one.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
