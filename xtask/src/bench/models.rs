//! The generated models that are measured: random weights of the shape of a model with a billion parameters.

use crate::places::Places;
use anyhow::{Context, Result};
use exo_gguf::GgmlType;
use exo_testkit::ModelSpec;
use std::path::PathBuf;

/// Layers of the whole model.
const LAYERS: usize = 16;

/// Files for the engine bench; `all` adds the types that the project's goals do not name.
pub fn for_engine(places: &Places, all: bool) -> Result<Vec<PathBuf>> {
    let types = [GgmlType::Q4_0, GgmlType::Q8_0, GgmlType::Q4_K, GgmlType::BF16];
    types[..if all { 4 } else { 2 }].iter().map(|matrices| generated(places, *matrices)).collect()
}

/// The file of one type, made on first use: a gigabyte takes some seconds.
pub fn generated(places: &Places, matrices: GgmlType) -> Result<PathBuf> {
    let path = places.generated_models()?.join(format!("1b-{}.gguf", matrices.to_string().to_lowercase()));
    if !path.exists() {
        eprintln!("generating {}", path.display());
        // A run that is ended half-way leaves no file that looks whole.
        let partial = path.with_extension("partial");
        ModelSpec::billion(matrices, LAYERS).write(&partial)?;
        std::fs::rename(&partial, &path).with_context(|| path.display().to_string())?;
    }
    Ok(path)
}
