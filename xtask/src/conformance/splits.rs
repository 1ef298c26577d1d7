//! However a model is cut, and over however many processes: the same tokens.

use crate::bench::runners::{Chain, Cut};
use crate::places::Places;
use crate::report::Table;
use anyhow::{Context, Result, ensure};
use exo_gguf::GgufFile;
use exo_types::{ChatMessage, Prompt, Role, SamplingParams};
use std::path::Path;

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

/// Compares greedy answers to so many prompts.
pub fn run(places: &Places, model: &Path, prompts: usize) -> Result<()> {
    let program = places.release()?.join("exo-runner");
    let layers = layers(model)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let expect = runtime.block_on(answers(&program, model, Cut { layers, stages: 1, shares: 1 }, prompts))?;
    let mut table = Table::new(&["stages", "ranks that share each", "prompts", "tokens", "different answers"]);
    let mut different = 0;
    for (stages, shares) in CUTS.into_iter().filter(|(stages, _)| *stages <= layers) {
        let cut = Cut { layers, stages, shares };
        let told = runtime.block_on(answers(&program, model, cut, prompts)).with_context(|| format!("{cut:?}"))?;
        let wrong = told.iter().zip(&expect).filter(|(told, expect)| told != expect).count();
        different += wrong;
        let tokens: usize = told.iter().map(Vec::len).sum();
        table.row(
            [stages as usize, shares as usize, told.len(), tokens, wrong].map(|number| number.to_string()).to_vec(),
        );
    }
    println!("{}", table.render());
    ensure!(different == 0, "{different} answers depend on how the model is cut");
    Ok(())
}

fn layers(model: &Path) -> Result<u32> {
    let file = GgufFile::open(model)?;
    let of_layer =
        file.tensors().filter_map(|tensor| tensor.name.strip_prefix("blk.")?.split('.').next()?.parse().ok());
    let last: u32 = of_layer.max().context("the model has no layers")?;
    Ok(last + 1)
}

async fn answers(program: &Path, model: &Path, cut: Cut, prompts: usize) -> Result<Vec<Vec<u32>>> {
    let mut chain = Chain::start(program, model, cut).await?;
    let mut answers = Vec::with_capacity(prompts);
    for number in 0..prompts {
        let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        answers.push(chain.tell(prompt(number), sampling, TOKENS).await?.0);
    }
    eprintln!("  {} stages, {} shares: {prompts} answers", cut.stages, cut.shares);
    Ok(answers)
}

/// The questions first as they are, then with others before them.
fn prompt(number: usize) -> Prompt {
    let question = QUESTIONS[number % QUESTIONS.len()];
    let round = number / QUESTIONS.len();
    let content = match round {
        0 => question.to_owned(),
        _ => format!("{} {round}. {question}", QUESTIONS[(number * 7 + round) % QUESTIONS.len()]),
    };
    Prompt::Chat(vec![ChatMessage::new(Role::User, content)])
}
