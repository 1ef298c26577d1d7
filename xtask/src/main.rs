//! Test. The project's own chores: checks, benches, conformance. Knows nothing of how a running cluster works inside:
//! it starts the programs that users start.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod acceptance;
mod bench;
mod chaos;
mod cluster;
mod conformance;
mod free_ports;
mod fuzz;
mod graph;
mod guide_model;
mod layer;
mod machines;
mod nix_files;
mod node_process;
mod own_engine;
mod places;
mod progress;
mod reference_llama;
mod reference_torch;
mod report;
mod sim;
mod sizes;
mod tidy;
mod workspace;

/// Chores of the exo workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run the tests that need more than cargo: other people's clients and judges.
    Acceptance {
        /// Only these parts.
        parts: Vec<acceptance::Part>,
    },
    /// Measure: our engine against llama.cpp, a pipeline against one process, exo with nothing to do.
    Bench(bench::Bench),
    /// Kill, pause and cut off real processes under load, and check what clients saw.
    Chaos(chaos::Chaos),
    /// Check against other implementations of the same thing.
    #[command(subcommand)]
    Conformance(conformance::Conformance),
    /// Look for bytes that make a reader of foreign bytes panic, hang or take too much memory.
    Fuzz(fuzz::Fuzz),
    /// Look after exo-guide, the model that comes with the project.
    #[command(subcommand)]
    GuideModel(guide_model::GuideModel),
    /// Run the tests of nixos-tests/ on real systemd: Debian in containers or virtual machines.
    Machines(machines::Machines),
    /// Check the Nix files, without nixpkgs: parse, format, evaluate; options, documents and configuration agree.
    Nix(nix_files::NixFiles),
    /// Simulate a cluster under faults, from seeds.
    #[command(disable_help_flag = true)]
    Sim(sim::Sim),
    /// Print how large each program is, and the whole package.
    Sizes(sizes::Sizes),
    /// Check what the compiler does not: layers, files, words, documents. Edits nothing.
    Tidy,
    /// Print the crate graph that stands in docs/ARCHITECTURE.md.
    Graph {
        /// Write it into the document instead.
        #[arg(long)]
        write: bool,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Acceptance { parts } => acceptance::run(&parts),
        Chore::Bench(options) => bench::run(&options),
        Chore::Chaos(options) => chaos::run(&options),
        Chore::Conformance(chore) => conformance::run(&chore),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::GuideModel(chore) => guide_model::run(&chore),
        Chore::Machines(options) => machines::run(&options),
        Chore::Nix(options) => nix_files::run(&options),
        Chore::Sim(options) => sim::run(&options),
        Chore::Sizes(options) => sizes::run(&options),
        Chore::Tidy => tidy::run(),
        Chore::Graph { write } => graph::run(write),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
