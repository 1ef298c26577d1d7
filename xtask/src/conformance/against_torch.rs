//! Our engine against transformers, in float32: logits of every decoder, vectors of the encoder.

use super::findings::Findings;
use super::record::Recorder;
use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::reference_torch::ReferenceTorch;
use anyhow::{Context, Result, ensure};
use exo_engine::Pooling;
use exo_testkit::{
    Agreement, AgreementBound, HfStorage, REFERENCE_TEXTS, ReferenceCase, ReferenceLogits, VECTOR_BOUND, distance,
};

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
    compare_encoder(&mut torch, &mut findings, recorder.as_ref())?;
    findings.conclude()
}

/// Compares tokens, and vectors pooled in every way, of the encoder as a GGUF file and as a directory.
fn compare_encoder(torch: &mut ReferenceTorch, findings: &mut Findings, recorder: Option<&Recorder>) -> Result<()> {
    let case = ReferenceCase::encoder();
    let (folder, model) = (tempfile::tempdir()?, case.spec.write_temporary()?);
    case.spec.write_hugging_face(folder.path(), HfStorage::F32)?;
    let references = torch.encodings(folder.path(), &REFERENCE_TEXTS).context(case.name)?;
    for (form, path) in [("GGUF", model.path()), ("directory", folder.path().to_owned())] {
        let mut own = OwnEngine::load(&path, 1, 512)?;
        let (mut worst, mut same) = (0.0, 0);
        for reference in &references {
            let tokens = own.tokenize(&[&reference.text])?.concat();
            same += usize::from(reference.tokens.get(1..=tokens.len()) == Some(&tokens[..]));
            let vectors = reference.vectors.as_ref().context("torch sends all vectors")?;
            for (pooling, vector) in [Pooling::Mean, Pooling::Cls, Pooling::Last].into_iter().zip(vectors) {
                let (own, count) = own.vector(&reference.text, pooling)?;
                ensure!(count == reference.tokens.len(), "{:?} has {count} tokens", reference.text);
                let apart = distance(&own, vector);
                // NaN is the worst.
                worst = if apart <= worst { worst } else { apart };
            }
        }
        let name = format!("{}, {form}", case.name);
        findings.counted(&name, "texts with the same tokens", same, references.len());
        findings.bounded(&name, "distance of vectors", worst, VECTOR_BOUND);
    }
    recorder.map_or(Ok(()), |recorder| recorder.encodings(&format!("torch/{}", case.name), &references))
}
