//! The models that clients use: all the same small one, under different names.

use crate::chaos::load::WRITERS;
use anyhow::{Context, Result};
use exo_testkit::ModelSpec;
use std::fs;
use std::path::{Path, PathBuf};

/// Placed on one node, at the begin, for good.
pub const STEADY: &str = "steady";

/// Placed over two nodes, at the begin, for good.
pub const WIDE: &str = "wide";

/// Models of each writer.
const EACH: usize = 3;

/// Names of the models, and where they are.
pub struct Models {
    folder: PathBuf,
}

impl Models {
    /// Generates the files below `folder`.
    pub fn generate(folder: &Path) -> Result<Self> {
        let folder = folder.join("models");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let first = folder.join(format!("{STEADY}.gguf"));
        ModelSpec { layers: 4, ..ModelSpec::default() }.write(&first).context("the model cannot be written")?;
        let models = Self { folder };
        for name in models.of_writers().chain([WIDE.to_owned()]).chain((0..3).map(probe)) {
            let file = models.folder.join(format!("{name}.gguf"));
            fs::hard_link(&first, &file).with_context(|| file.display().to_string())?;
        }
        Ok(models)
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Those that a writer places.
    pub fn of_writer(&self, writer: usize) -> Vec<String> {
        (0..EACH).map(|number| format!("writer-{writer}-{number}")).collect()
    }

    fn of_writers(&self) -> impl Iterator<Item = String> {
        (0..WRITERS).flat_map(|writer| self.of_writer(writer))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        WRITERS * EACH + 2 + 3
    }
}

/// The one that shows at the end that the API of a node takes commands.
pub fn probe(node: usize) -> String {
    format!("probe-{node}")
}
