//! Measurements. They print; nothing is asserted, because numbers depend on the machine and on what else it does.

use crate::places::Places;
use crate::reference_llama;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use engine::EngineBench;
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

mod draft;
mod engine;
mod failover;
mod gain;
mod idle;
mod idle_cluster;
mod log;
mod machine;
mod models;
mod pipeline;
mod prefix;
pub mod runners;
mod state;
mod stream;
mod tensor;

pub use machine::cores;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Our engine against llama.cpp: prefill and decode, same files, same threads.
    Engine,
    /// Guessing tokens ahead (`engine.draftTokens`) against not guessing.
    Draft,
    /// Computing once what requests begin with (`engine.prefixReuse`) against computing it each time.
    Prefix,
    /// The gaps between tokens of answers while a long prompt is read.
    Stream,
    /// Two stages in two processes against one process, one thread each.
    Pipeline,
    /// Two processes that share all layers against one process, one thread each.
    Tensor,
    /// `exo up` with nothing to do: start, memory, processor.
    Idle,
    /// The replicated log: acknowledged commands, and etcd on the same disk.
    Log,
    /// A client's commands to one master and to the leader of three; the part of `log` that is over the bus.
    Commands,
    /// The fold: an event in a State of 256 nodes, and what that State takes.
    State,
    /// Three masters on loopback whose leader is killed again and again.
    Failover,
    /// All of them.
    All,
}

/// What to measure, and how.
#[derive(Args)]
pub struct Bench {
    /// What to measure.
    #[arg(value_enum, default_value_t = Subject::All)]
    subject: Subject,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Fewer rounds: quicker, and rougher numbers.
    #[arg(long)]
    quick: bool,
    /// Threads of each engine.
    #[arg(long, default_value_t = machine::cores())]
    threads: usize,
    /// Models of the engine bench.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "q4_0,q8_0")]
    models: Vec<models::Weights>,
    /// Nodes of the idle bench: with more than one it measures what an idle cluster sends and writes.
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Workloads of the engine bench; all of them by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    work: Vec<engine::Work>,
}

/// Runs the chore.
pub fn run(bench: &Bench) -> Result<()> {
    let places = Places::find()?;
    if cfg!(debug_assertions) {
        // Some benches measure what runs in their own process.
        return run_as(&places.release()?.join("xtask"));
    }
    let mut reports = Reports { json: bench.json, values: BTreeMap::new() };
    if bench.wants(Subject::Engine) {
        let report = EngineBench {
            reference: &reference_llama::build(&places.root, &places.target)?,
            models: bench
                .models
                .iter()
                .map(|model| models::generated(&places, model.matrices()))
                .collect::<Result<_>>()?,
            work: if bench.work.is_empty() { engine::Work::ALL.to_vec() } else { bench.work.clone() },
            threads: bench.threads,
            rounds: if bench.quick { 3..=3 } else { 3..=7 },
        }
        .run()?;
        reports.add("engine", &report, report.render())?;
    }
    if bench.wants(Subject::Draft) {
        let report = draft::run(&places, bench.threads, bench.quick)?;
        reports.add("draft", &report, report.render())?;
    }
    if bench.wants(Subject::Prefix) {
        let report = prefix::run(&places, bench.threads, bench.quick)?;
        reports.add("prefix", &report, report.render())?;
    }
    if bench.wants(Subject::Stream) {
        let report = stream::run(&places, bench.threads, bench.quick)?;
        reports.add("stream", &report, report.render())?;
    }
    if bench.wants(Subject::Pipeline) {
        let report = pipeline::run(&places, bench.quick)?;
        reports.add("pipeline", &report, report.render())?;
    }
    if bench.wants(Subject::Tensor) {
        let report = tensor::run(&places, bench.quick)?;
        reports.add("tensor", &report, report.render())?;
    }
    if bench.wants(Subject::Idle) {
        if bench.nodes > 1 {
            let report = idle_cluster::run(&places, bench.nodes, bench.quick)?;
            reports.add("idleCluster", &report, report.render())?;
        } else {
            let report = idle::run(&places.release()?.join("exo"), bench.quick)?;
            reports.add("idle", &report, report.render())?;
        }
    }
    if bench.wants(Subject::Log) {
        let report = log::run(&places, bench.quick)?;
        reports.add("log", &report, report.render())?;
    }
    // The bench of the log has them as well.
    if matches!(bench.subject, Subject::Commands) {
        let report = log::run_commands(&places, bench.quick)?;
        reports.add("commands", &report, report.render())?;
    }
    if bench.wants(Subject::State) {
        let report = state::run(bench.quick)?;
        reports.add("state", &report, report.render())?;
    }
    if bench.wants(Subject::Failover) {
        let report = failover::run(&places, bench.quick)?;
        reports.add("failover", &report, report.render())?;
    }
    reports.finish()
}

/// Goes on as that build of this program, with the same arguments.
fn run_as(program: &Path) -> Result<()> {
    let error = Command::new(program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("{} does not start", program.display()))
}

impl Bench {
    fn wants(&self, subject: Subject) -> bool {
        [subject, Subject::All].contains(&self.subject)
    }
}

/// Prints tables as they come, or everything as one JSON object at the end.
struct Reports {
    json: bool,
    values: BTreeMap<&'static str, serde_json::Value>,
}

impl Reports {
    fn add(&mut self, name: &'static str, report: &impl Serialize, rendered: String) -> Result<()> {
        if self.json {
            self.values.insert(name, serde_json::to_value(report)?);
        } else {
            println!("{rendered}");
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(&self.values)?);
        }
        Ok(())
    }
}
