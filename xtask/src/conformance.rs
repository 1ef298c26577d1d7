//! Checks against other implementations of the same thing.

use crate::own_engine::OwnEngine;
use crate::places::Places;
use crate::reference_llama::{self, ReferenceLlama};
use crate::report::Table;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use exo_testkit::{Agreement, AgreementBound, REFERENCE_TEXTS, ReferenceCase, ReferenceContinuation};
use exo_testkit::{ReferenceLogits, ReferenceText};
use std::path::{Path, PathBuf};

mod guide_prompts;
mod record;

use guide_prompts::GUIDE_PROMPTS;
use record::Recorder;

/// What to check.
#[derive(Subcommand)]
pub enum Conformance {
    /// Our engine against llama.cpp: logits, greedy tokens, tokenizers.
    Engine(EngineConformance),
}

/// How to check the engine.
#[derive(Args)]
pub struct EngineConformance {
    /// Write llama.cpp's results to the engine's tests, which then need no llama.cpp.
    #[arg(long)]
    record: bool,
    /// Another GGUF file instead of the model that comes with the project.
    #[arg(long)]
    model: Option<PathBuf>,
}

/// Most tokens that are continued and compared; what a model says after its end token means nothing.
const CONTINUATION: usize = 64;

/// Runs the chore.
pub fn run(chore: &Conformance) -> Result<()> {
    let Conformance::Engine(options) = chore;
    let places = Places::find()?;
    let mut check = EngineCheck {
        program: reference_llama::build(&places.root, &places.target)?,
        recorder: options.record.then(|| Recorder::new(&places)),
        table: Table::new(&["model", "measure", "bound", "measured", ""]),
        failures: Vec::new(),
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
    println!("{}", check.table.render());
    if !check.failures.is_empty() {
        bail!("beyond the bound: {}", check.failures.join(", "));
    }
    Ok(())
}

/// One run over all models.
struct EngineCheck {
    program: PathBuf,
    recorder: Option<Recorder>,
    table: Table,
    failures: Vec<String>,
}

impl EngineCheck {
    /// Logits of a generated model.
    fn generated(&mut self, case: &ReferenceCase) -> Result<()> {
        let model = case.spec.write_temporary()?;
        let tokens = case.tokens();
        let mut llama = self.llama(&model.path())?;
        let reference = llama.logits(&tokens)?;
        let own = OwnEngine::load(&model.path(), 1, 512)?.logits(&tokens)?;
        self.agreement(case.name, Agreement::between(&own, &reference), &case.bound());
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
        self.agreement(&name, Agreement::between(&rows, &reference_rows), &AgreementBound::for_type("Q8_0"));
        self.counted(&name, "greedy continuations", same, GUIDE_PROMPTS.len());
        if let Some(recorder) = &self.recorder {
            recorder.continuations(&continuations)?;
        }
        Ok(())
    }

    fn texts(&mut self, name: &str, own: &mut OwnEngine, llama: &mut ReferenceLlama) -> Result<()> {
        let reference = llama.tokenize(&REFERENCE_TEXTS)?;
        let tokens = own.tokenize(&REFERENCE_TEXTS)?;
        let same = tokens.iter().zip(&reference).filter(|(own, reference)| own == reference).count();
        self.counted(name, "texts tokenized alike", same, REFERENCE_TEXTS.len());
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

    fn agreement(&mut self, name: &str, measured: Agreement, bound: &AgreementBound) {
        let rows = [
            ("difference", bound.difference, measured.difference, measured.difference <= bound.difference),
            ("divergence", bound.divergence, measured.divergence, measured.divergence <= bound.divergence),
        ];
        for (measure, bound, value, keeps) in rows {
            self.row(name, measure, format!("≤ {bound}"), format!("{value:.2e}"), keeps);
        }
        let same = measured.same_likeliest;
        let bound = bound.same_likeliest;
        self.row(name, "same likeliest", format!("≥ {bound}"), format!("{same:.3}"), same >= bound);
    }

    fn counted(&mut self, name: &str, measure: &str, same: usize, of: usize) {
        self.row(name, measure, format!("{of} of {of}"), same.to_string(), same == of);
    }

    fn row(&mut self, name: &str, measure: &str, bound: String, measured: String, keeps: bool) {
        let verdict = if keeps { "" } else { "beyond" };
        self.table.row(vec![name.to_owned(), measure.to_owned(), bound, measured, verdict.to_owned()]);
        if !keeps {
            self.failures.push(format!("{name} ({measure})"));
        }
    }
}
