//! What the demo asks.

use crate::chat::{Options, body, print_piece, speed};
use crate::client::Client;
use crate::error::CliError;
use crate::output::say;
use crate::table::{bold, dim};
use serde_json::{Value, json};

/// A question, and its answer in the text that exo-guide was trained on.
pub(super) struct Exchange {
    pub(super) question: &'static str,
    pub(super) answer: &'static str,
}

pub(super) const EXCHANGES: &[Exchange] = &[
    Exchange {
        question: "What is exo?",
        answer: "exo joins Linux machines into one encrypted cluster that serves language models.",
    },
    Exchange {
        question: "How do I add a node?",
        answer: "Print a join token with exo cluster token, give it to exo cluster join on the new machine, and start exo there.",
    },
];

/// Asks, and shows the answer as it comes; `check` compares it.
pub(super) async fn ask(client: &Client, model: &str, exchange: &Exchange, check: bool) -> Result<(), CliError> {
    say(format_args!("{} {}", bold(">"), bold(exchange.question)))?;
    let options = Options { model: model.to_owned(), temperature: 0.0, max_tokens: None };
    let (answer, cost) = client.chat(&body(&options, &[message(exchange.question)]), print_piece).await?;
    say(format_args!("\n{}\n", dim(&speed(cost))))?;
    match check && answer.trim() != exchange.answer {
        false => Ok(()),
        true => Err(CliError::WrongAnswer {
            question: exchange.question.to_owned(),
            answer,
            expected: exchange.answer.to_owned(),
        }),
    }
}

/// The body of the line to try.
pub(super) fn example(model: &str) -> Value {
    json!({ "model": model, "messages": [message("Which port does the API use?")] })
}

fn message(question: &str) -> Value {
    json!({ "role": "user", "content": question })
}
