//! However a model is cut, and over however many processes: the same tokens, and the same perplexity.

use super::held_out::HeldOut;
use crate::bench::runners::{Chain, Cut};
use crate::places::Places;
use crate::progress;
use crate::report::Table;
use anyhow::{Context, Result, ensure};
use exo_gguf::GgufFile;
use exo_types::{ChatMessage, Prompt, Role, SamplingParams};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What is asked, alone and after each other.
const QUESTIONS: [&str; 8] = [
    "What is exo?",
    "How do I add a node?",
    "Where are the logs?",
    "Which port does the API use?",
    "What happens when the master dies?",
    "How do I place a model over two machines?",
    "What is a runner?",
    "How is a node thrown out?",
];

/// Tokens that are compared of each answer.
const TOKENS: u32 = 24;

/// Stages and shares of each.
const CUTS: [(u32, u32); 7] = [(2, 1), (3, 1), (4, 1), (1, 2), (1, 3), (1, 4), (2, 2)];

/// The perplexity of a split may differ by this share.
const PERPLEXITY_BOUND: f64 = 0.001;

/// Most differences of a split that an error lists.
const LISTED: usize = 3;

/// Compares greedy answers to so many prompts, and the perplexity of the text that exo-guide was not trained on.
pub fn run(places: &Places, model: &Path, prompts: usize) -> Result<()> {
    let program = places.release()?.join("exo-runner");
    let layers = layers(model)?;
    let trial = Trial { program, model: model.to_owned(), prompts, text: HeldOut::read(places, model)? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let take = |stages, shares| {
        let cut = Cut { layers, stages, shares };
        runtime.block_on(trial.take(cut)).with_context(|| name(cut))
    };
    let whole = take(1, 1)?;
    let mut table = table();
    table.row(cells(1, 1, &whole, &whole));
    let mut faults = Vec::new();
    for (stages, shares) in CUTS.into_iter().filter(|(stages, _)| *stages <= layers) {
        let split = take(stages, shares)?;
        table.row(cells(stages, shares, &split, &whole));
        let cut = name(Cut { layers, stages, shares });
        let found = split.faults(&whole);
        eprintln!("  {cut}: {} faults", found.len());
        faults.extend(found.into_iter().take(LISTED).map(|fault| format!("{cut}: {fault}")));
    }
    println!("{}\n\nperplexity over {} tokens of tools/guide-model/heldout.txt", table.render(), trial.text.len());
    ensure!(faults.is_empty(), "what is said depends on how the model is cut:\n  {}", faults.join("\n  "));
    Ok(())
}

fn table() -> Table {
    Table::new(&["stages", "ranks that share each", "prompts", "tokens", "different answers", "perplexity", "off by"])
}

fn cells(stages: u32, shares: u32, split: &Taken, whole: &Taken) -> Vec<String> {
    let tokens: usize = split.answers.iter().map(Vec::len).sum();
    let different = split.differences(whole).count();
    let numbers = [stages as usize, shares as usize, split.answers.len(), tokens, different];
    let perplexity = format!("{:.5}", split.perplexity);
    let off = format!("{:.4} %", 100.0 * split.off(whole));
    numbers.map(|number| number.to_string()).into_iter().chain([perplexity, off]).collect()
}

fn name(cut: Cut) -> String {
    format!("{} stages, {} ranks that share each", cut.stages, cut.shares)
}

fn layers(model: &Path) -> Result<u32> {
    let file = GgufFile::open(model)?;
    let of_layer =
        file.tensors().filter_map(|tensor| tensor.name.strip_prefix("blk.")?.split('.').next()?.parse().ok());
    let last: u32 = of_layer.max().context("the model has no layers")?;
    Ok(last + 1)
}

/// What every split is asked.
struct Trial {
    program: PathBuf,
    model: PathBuf,
    prompts: usize,
    text: HeldOut,
}

/// What a split said.
struct Taken {
    answers: Vec<Vec<u32>>,
    perplexity: f64,
}

impl Trial {
    async fn take(&self, cut: Cut) -> Result<Taken> {
        let begin = Instant::now();
        let mut chain = Chain::start(&self.program, &self.model, cut).await?;
        let bar =
            progress::bar(self.prompts + self.text.len(), "requests", true).with_prefix(format!("{} ", name(cut)));
        let answers = self.answers(&mut chain, &bar).await?;
        let perplexity = self.text.perplexity(&mut chain, || bar.inc(1)).await?;
        bar.finish_and_clear();
        let requests = self.prompts + self.text.len();
        eprintln!("  {}: {requests} requests in {:.1?}, perplexity {perplexity:.5}", name(cut), begin.elapsed());
        Ok(Taken { answers, perplexity })
    }

    async fn answers(&self, chain: &mut Chain, bar: &ProgressBar) -> Result<Vec<Vec<u32>>> {
        let mut answers = Vec::with_capacity(self.prompts);
        for number in 0..self.prompts {
            let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
            let told = chain.tell(prompt(number), sampling, TOKENS).await;
            answers.push(told.with_context(|| format!("prompt {number}"))?.tokens);
            bar.inc(1);
        }
        Ok(answers)
    }
}

impl Taken {
    /// What is not as it is in one process.
    fn faults(&self, whole: &Self) -> Vec<String> {
        let mut faults: Vec<String> = self.differences(whole).collect();
        let off = self.off(whole);
        if off.is_nan() || off > PERPLEXITY_BOUND {
            faults.insert(0, format!("perplexity {} instead of {}", self.perplexity, whole.perplexity));
        }
        faults
    }

    fn differences(&self, whole: &Self) -> impl Iterator<Item = String> {
        let pairs = self.answers.iter().zip(&whole.answers).enumerate();
        pairs.filter(|(_, (told, expect))| told != expect).map(|(number, (told, expect))| {
            let same = told.iter().zip(expect).take_while(|(told, expect)| told == expect).count();
            format!("the answer to prompt {number} is another after {same} of {} tokens", expect.len())
        })
    }

    /// By which share the perplexity differs.
    fn off(&self, whole: &Self) -> f64 {
        (self.perplexity / whole.perplexity - 1.0).abs()
    }
}

fn prompt(number: usize) -> Prompt {
    Prompt::Chat(vec![ChatMessage::new(Role::User, content(number))])
}

/// The questions first as they are, then with others before them.
fn content(number: usize) -> String {
    let question = QUESTIONS[number % QUESTIONS.len()];
    match number / QUESTIONS.len() {
        0 => question.to_owned(),
        round => format!("{} {round}. {question}", QUESTIONS[(number * 7 + round) % QUESTIONS.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn taken(answers: &[&[u32]], perplexity: f64) -> Taken {
        Taken { answers: answers.iter().map(|answer| answer.to_vec()).collect(), perplexity }
    }

    #[test]
    fn a_split_that_says_something_else_is_told_with_the_place() {
        let whole = taken(&[&[1, 2, 3], &[4, 5]], 8.0);
        let check = |split: Taken, expect: &[&str]| assert_eq!(split.faults(&whole), expect);
        check(taken(&[&[1, 2, 3], &[4, 5]], 8.0), &[]);
        check(taken(&[&[1, 2, 9], &[4, 5]], 8.0), &["the answer to prompt 0 is another after 2 of 3 tokens"]);
        check(taken(&[&[1, 2, 3], &[4]], 8.0), &["the answer to prompt 1 is another after 1 of 2 tokens"]);
    }

    #[test]
    fn a_perplexity_may_differ_by_a_thousandth() {
        let whole = taken(&[], 8.0);
        let check = |perplexity: f64, faults: usize| {
            assert_eq!(taken(&[], perplexity).faults(&whole).len(), faults, "{perplexity}");
        };
        check(8.007, 0);
        check(7.993, 0);
        check(8.009, 1);
        check(7.991, 1);
        check(f64::NAN, 1);
    }

    #[test]
    fn prompts_are_all_different() {
        let prompts: BTreeSet<_> = (0..1000).map(content).collect();
        assert_eq!(prompts.len(), 1000);
    }
}
