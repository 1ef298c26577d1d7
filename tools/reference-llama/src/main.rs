//! Test. llama.cpp behind a line protocol: what exo's conformance checks and benches compare with. Knows nothing of
//! exo's engine.
//!
//! One JSON request a line on standard input, one JSON reply a line on standard output; the first line out tells that
//! the model is loaded. Whoever drives it decides when it computes, so that two engines can take turns on the same
//! cores.

use anyhow::{Context, Result};
use clap::Parser;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

mod llama;
mod protocol;

use llama::Llama;
use protocol::{Reply, Request};

/// llama.cpp behind a line protocol.
#[derive(Parser)]
struct Arguments {
    /// GGUF file.
    #[arg(long)]
    model: PathBuf,
    /// Threads that compute.
    #[arg(long, default_value_t = 1)]
    threads: u16,
    /// Most tokens of a sequence.
    #[arg(long, default_value_t = 4096)]
    context: u32,
    /// How attention is computed.
    #[arg(long, value_enum, default_value_t)]
    attention: llama::Attention,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let begin = Instant::now();
    let mut loaded = llama::Loaded::open(&arguments.model)?;
    let mut llama = loaded.context(arguments.threads, arguments.context, arguments.attention)?;
    reply(&Reply::Ready { seconds: begin.elapsed().as_secs_f64() })?;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read standard input")?;
        let answer =
            serde_json::from_str(&line).map_err(anyhow::Error::from).and_then(|request| run(&mut llama, request));
        reply(&answer.unwrap_or_else(|error| Reply::Error { message: format!("{error:#}") }))?;
    }
    Ok(())
}

fn run(llama: &mut Llama<'_>, request: Request) -> Result<Reply> {
    match request {
        Request::Logits { tokens, all } => Ok(Reply::Logits { rows: llama.logits(&tokens, all)? }),
        Request::Greedy { tokens, count } => Ok(Reply::Greedy { tokens: llama.greedy(&tokens, count)? }),
        Request::Tokenize { texts } => Ok(Reply::Tokenize { tokens: llama.tokenize(&texts) }),
        Request::Prefill { tokens } => Ok(Reply::Timed { seconds: llama.time_prefill(&tokens)? }),
        Request::Decode { tokens, count } => Ok(Reply::Timed { seconds: llama.time_decode(&tokens, count)? }),
    }
}

fn reply(reply: &Reply) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, reply).context("cannot write a reply")?;
    out.write_all(b"\n").and_then(|()| out.flush()).context("cannot write a reply")
}
