//! Service. The command line, and all roles in one process.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    exo::run(exo::Cli::parse())
}
