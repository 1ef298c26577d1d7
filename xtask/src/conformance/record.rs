//! Writes what the others computed to where the engine's tests read it.

use crate::places::Places;
use anyhow::{Context, Result};
use exo_testkit::{ReferenceContinuation, ReferenceEncoding, ReferenceLogits, ReferenceText};
use serde::Serialize;
use std::path::PathBuf;

/// The folder of the recorded results.
pub struct Recorder {
    folder: PathBuf,
}

impl Recorder {
    /// For the engine's tests.
    pub fn new(places: &Places) -> Self {
        Self { folder: places.root.join("crates/exo-engine/tests/reference") }
    }

    /// Logits of a generated model, five significant digits each: far finer than any bound.
    pub fn logits(&self, name: &str, logits: &ReferenceLogits) -> Result<()> {
        let rounded = |row: &Vec<f32>| row.iter().map(|logit| round(*logit)).collect::<Vec<_>>();
        let logits = ReferenceLogits { rows: logits.rows.iter().map(rounded).collect(), ..logits.clone() };
        self.write(name, &logits)
    }

    /// Tokens of texts, and the vectors of every fourth.
    pub fn encodings(&self, name: &str, encodings: &[ReferenceEncoding]) -> Result<()> {
        let rounded = |vector: &Vec<f32>| vector.iter().map(|value| round(*value)).collect();
        let kept = |(index, encoding): (usize, &ReferenceEncoding)| {
            let vectors = encoding.vectors.as_ref().filter(|_| index % 4 == 0);
            ReferenceEncoding { vectors: vectors.map(|vectors| vectors.each_ref().map(rounded)), ..encoding.clone() }
        };
        self.write(name, &encodings.iter().enumerate().map(kept).collect::<Vec<_>>())
    }

    /// Greedy continuations of the model that comes with the project.
    pub fn continuations(&self, continuations: &[ReferenceContinuation]) -> Result<()> {
        self.write("guide_continuations", continuations)
    }

    /// Texts and their tokens in the same model.
    pub fn texts(&self, texts: &[ReferenceText]) -> Result<()> {
        self.write("guide_texts", texts)
    }

    fn write(&self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let path = self.folder.join(format!("{name}.json"));
        let mut text = serde_json::to_string(value).context("numbers and strings are JSON")?;
        text.push('\n');
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

fn round(value: f32) -> f32 {
    format!("{value:.4e}").parse().unwrap_or(value)
}
