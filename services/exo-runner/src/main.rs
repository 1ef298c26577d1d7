//! Service. The runner: holds one shard of one model. Started by exo-worker, never by hand.

use anyhow::Context;
use clap::Parser;
use exo_runner_host::{RunnerSide, refuse_programs};
use exo_telemetry::{LogFormat, LogOptions};
use std::process::ExitCode;

/// Holds one shard of one model for the exo-worker that started it.
#[derive(Debug, Parser)]
#[command(name = "exo-runner", version)]
struct Args {}

fn main() -> ExitCode {
    let _args = Args::parse();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    exo_telemetry::init("exo-runner", &LogOptions { level, format: LogFormat::Text })?;
    abort_on_panic();
    refuse_programs();
    let side = RunnerSide::from_stdin()?;
    exo_runner::run(side, end_process).context("the runner ends")
}

/// A thread that panics takes the process along: half a runner would look alive.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// The worker is gone: nobody is left to answer, and no destructor has anything to do that the kernel does not.
fn end_process() {
    #[expect(clippy::disallowed_methods, reason = "another thread computes and cannot be asked to return from main")]
    std::process::exit(0);
}
