//! `exo chat`.

use crate::client::{Client, Cost};
use crate::error::CliError;
use crate::output::{say, write};
use crate::table::{bold, dim};
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Read};

/// Most that is read from a pipe.
const PROMPT_LIMIT: u64 = 1 << 20;

/// How to ask.
pub(crate) struct Options {
    pub(crate) model: String,
    pub(crate) temperature: f32,
    pub(crate) max_tokens: Option<u32>,
}

/// One question, or a conversation.
pub(crate) async fn run(client: &Client, options: Options, prompt: Option<String>) -> Result<(), CliError> {
    let stdin = std::io::stdin();
    let prompt = match prompt {
        None if !stdin.is_terminal() => {
            let mut text = String::new();
            let read = stdin.take(PROMPT_LIMIT).read_to_string(&mut text);
            read.map_err(CliError::system("cannot read the question from standard input"))?;
            Some(text)
        }
        given => given,
    };
    match prompt {
        Some(prompt) => ask(client, &options, &mut Vec::new(), prompt.trim_end()).await,
        None => converse(client, &options).await,
    }
}

async fn converse(client: &Client, options: &Options) -> Result<(), CliError> {
    say(dim(&format!("talking to {}; an empty line ends it", options.model)))?;
    let mut messages = Vec::new();
    loop {
        write(format_args!("{} ", bold(">")))?;
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let read = read.map_err(CliError::system("cannot read from the terminal"))?;
        if read == 0 || line.trim().is_empty() {
            return Ok(());
        }
        ask(client, options, &mut messages, line.trim()).await?;
    }
}

async fn ask(client: &Client, options: &Options, messages: &mut Vec<Value>, prompt: &str) -> Result<(), CliError> {
    messages.push(json!({ "role": "user", "content": prompt }));
    let (answer, cost) = client.chat(&body(options, messages), print_piece).await?;
    say(format_args!("\n{}", dim(&speed(cost))))?;
    messages.push(json!({ "role": "assistant", "content": answer }));
    Ok(())
}

/// A streaming request.
pub(crate) fn body(options: &Options, messages: &[Value]) -> Value {
    let mut body = json!({
        "model": options.model,
        "messages": messages,
        "stream": true,
        "temperature": options.temperature,
    });
    if let Some(tokens) = options.max_tokens {
        body["max_completion_tokens"] = json!(tokens);
    }
    body
}

/// Shows a piece at once; that nobody reads is told by the next line.
pub(crate) fn print_piece(piece: &str) {
    let _ = write(piece);
}

/// `12 tokens, 340.5 tokens/s`.
pub(crate) fn speed(cost: Cost) -> String {
    format!("{} tokens, {:.1} tokens/s", cost.tokens, cost.tokens_per_second)
}
