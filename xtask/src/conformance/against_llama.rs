//! Our engine against llama.cpp: logits, greedy tokens, tokenizers.

use super::EngineConformance;
use super::findings::Findings;
use super::guide_prompts::GUIDE_PROMPTS;
use super::record::Recorder;
use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::reference_llama::{self, ReferenceLlama};
use anyhow::{Context, Result};
use exo_testkit::{Agreement, AgreementBound, REFERENCE_TEXTS, ReferenceCase, ReferenceContinuation};
use exo_testkit::{ReferenceLogits, ReferenceText};
use std::path::{Path, PathBuf};

/// Most tokens that are continued and compared; what a model says after its end token means nothing.
const CONTINUATION: usize = 64;

/// Compares generated models of every format and shape, and a trained one.
pub fn compare(places: &Places, options: &EngineConformance) -> Result<()> {
    let mut check = LlamaCheck {
        program: reference_llama::build(&places.root, &places.target)?,
        recorder: options.record.then(|| Recorder::new(places)),
        findings: Findings::new(),
    };
    for case in ReferenceCase::all() {
        check.generated(&case).with_context(|| case.name)?;
    }
    let model = options.model.clone().unwrap_or_else(|| places.guide_model());
    if model.exists() {
        check.real(&model).with_context(|| model.display().to_string())?;
    } else {
        eprintln!("{} is not there: only generated models are compared", model.display());
    }
    check.findings.conclude()
}

/// One run over all models.
struct LlamaCheck {
    program: PathBuf,
    recorder: Option<Recorder>,
    findings: Findings,
}

impl LlamaCheck {
    /// Logits of a generated model.
    fn generated(&mut self, case: &ReferenceCase) -> Result<()> {
        let model = case.spec.write_temporary()?;
        let tokens = case.tokens();
        let mut llama = self.llama(&model.path())?;
        let reference = llama.logits(&tokens)?;
        let own = OwnEngine::load(&model.path(), 1, 512)?.logits(&tokens)?;
        self.findings.agreement(case.name, Agreement::between(&own, &reference), &case.bound());
        if let Some(recorder) = &self.recorder {
            recorder.logits(case.name, &ReferenceLogits::sampled(tokens, &reference))?;
        }
        Ok(())
    }

    /// Tokens, logits and greedy continuations of a trained model.
    fn real(&mut self, model: &Path) -> Result<()> {
        let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut llama = self.llama(model)?;
        let mut own = OwnEngine::load(model, 1, 512)?;
        self.texts(&name, &mut own, &mut llama)?;
        let (mut rows, mut reference_rows, mut continuations) = (Vec::new(), Vec::new(), Vec::new());
        let mut same = 0;
        for prompt in GUIDE_PROMPTS {
            let tokens = own.tokenize_prompt(prompt)?;
            rows.extend(own.logits(&tokens)?);
            reference_rows.extend(llama.logits(&tokens)?);
            let continuation = own.cut_at_end(llama.greedy(&tokens, CONTINUATION)?);
            same += usize::from(own.greedy(&tokens, continuation.len())? == continuation);
            continuations.push(ReferenceContinuation { tokens, continuation });
        }
        self.findings.agreement(&name, Agreement::between(&rows, &reference_rows), &AgreementBound::for_type("Q8_0"));
        self.findings.counted(&name, "greedy continuations", same, GUIDE_PROMPTS.len());
        if let Some(recorder) = &self.recorder {
            recorder.continuations(&continuations)?;
        }
        Ok(())
    }

    fn texts(&mut self, name: &str, own: &mut OwnEngine, llama: &mut ReferenceLlama) -> Result<()> {
        let reference = llama.tokenize(&REFERENCE_TEXTS)?;
        let tokens = own.tokenize(&REFERENCE_TEXTS)?;
        let same = tokens.iter().zip(&reference).filter(|(own, reference)| own == reference).count();
        self.findings.counted(name, "texts tokenized alike", same, REFERENCE_TEXTS.len());
        for (text, (own, reference)) in REFERENCE_TEXTS.iter().zip(tokens.iter().zip(&reference)) {
            if own != reference {
                eprintln!("{text:?}\n  exo       {own:?}\n  llama.cpp {reference:?}");
            }
        }
        if let Some(recorder) = &self.recorder {
            let texts = REFERENCE_TEXTS.iter().zip(reference);
            let texts = texts.map(|(text, tokens)| ReferenceText { text: (*text).to_owned(), tokens });
            recorder.texts(&texts.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn llama(&self, model: &Path) -> Result<ReferenceLlama> {
        ReferenceLlama::start(&self.program, model, 1, 512)
    }
}
