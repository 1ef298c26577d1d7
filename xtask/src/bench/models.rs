//! The generated models that are measured: random weights of the shape of a model with a billion parameters.

use crate::places::Places;
use anyhow::{Context, Result};
use clap::ValueEnum;
use exo_gguf::GgmlType;
use exo_testkit::ModelSpec;
use std::path::PathBuf;

/// Layers of the whole model.
const LAYERS: usize = 16;

/// How the weights of a generated model are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[expect(non_camel_case_types, reason = "the names are the format's own")]
pub enum Weights {
    Q4_0,
    Q8_0,
    Q4_K,
    Q6_K,
    BF16,
    F16,
    F32,
}

impl Weights {
    /// The type in the file.
    pub fn matrices(self) -> GgmlType {
        match self {
            Self::Q4_0 => GgmlType::Q4_0,
            Self::Q8_0 => GgmlType::Q8_0,
            Self::Q4_K => GgmlType::Q4_K,
            Self::Q6_K => GgmlType::Q6_K,
            Self::BF16 => GgmlType::BF16,
            Self::F16 => GgmlType::F16,
            Self::F32 => GgmlType::F32,
        }
    }
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
