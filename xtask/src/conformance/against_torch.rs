//! Our engine against transformers: logits of every architecture, in float32.

use super::findings::Findings;
use super::record::Recorder;
use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::reference_torch::ReferenceTorch;
use anyhow::{Context, Result};
use exo_testkit::{Agreement, AgreementBound, HfStorage, ReferenceCase, ReferenceLogits};

/// Compares a generated model of every architecture, which torch reads as a Hugging Face directory.
pub fn compare(places: &Places, record: bool) -> Result<()> {
    let recorder = record.then(|| Recorder::new(places));
    let mut torch = ReferenceTorch::start(&places.root, &places.target)?;
    let mut findings = Findings::new();
    for case in ReferenceCase::architectures() {
        let (folder, model) = (tempfile::tempdir()?, case.spec.write_temporary()?);
        case.spec.write_hugging_face(folder.path(), HfStorage::F32)?;
        let tokens = case.tokens();
        let reference = torch.logits(folder.path(), &tokens).context(case.name)?;
        let own = OwnEngine::load(&model.path(), 1, 512)?.logits(&tokens)?;
        findings.agreement(case.name, Agreement::between(&own, &reference), &AgreementBound::WITH_TORCH);
        if let Some(recorder) = &recorder {
            recorder.logits(&format!("torch/{}", case.name), &ReferenceLogits::sampled(tokens, &reference))?;
        }
    }
    findings.conclude()
}
