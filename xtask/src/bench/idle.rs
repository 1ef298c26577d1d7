//! What an exo costs that has nothing to do: one node with all roles, no model.

use crate::bench::machine::processor;
use crate::node_process::NodeProcess;
use crate::report::{Table, median};
use anyhow::Result;
use serde::Serialize;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// What is measured, and what the project promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdleReport {
    processor: String,
    /// Median seconds from the start of the process to the first 200 of `/readyz`.
    start_to_ready_seconds: f64,
    /// Of each start.
    starts: Vec<f64>,
    /// Resident memory ten seconds later, of the process and its children.
    resident_bytes: u64,
    /// Processor time as a share of one core over `cpu_window_seconds`, in percent.
    cpu_percent: f64,
    cpu_window_seconds: f64,
}

const PROMISED: [(&str, &str); 3] =
    [("start to ready", "≤ 0.5 s"), ("resident memory", "≤ 80 MB"), ("processor", "≤ 1 %")];

/// Measures `exo up` with an empty data directory.
pub fn run(exo: &Path, quick: bool) -> Result<IdleReport> {
    let (starts, settle, window) = if quick { (2, 2, 5) } else { (5, 10, 20) };
    let mut seconds = Vec::new();
    let mut node = NodeProcess::start(exo)?;
    seconds.push(node.seconds_to_ready());
    for _ in 1..starts {
        node.stop()?;
        node = NodeProcess::start(exo)?;
        seconds.push(node.seconds_to_ready());
    }
    eprintln!("letting it settle for {settle} s, then measuring for {window} s");
    sleep(Duration::from_secs(settle));
    let resident_bytes = node.resident_bytes()?;
    let before = node.cpu_seconds()?;
    sleep(Duration::from_secs(window));
    let used = node.cpu_seconds()? - before;
    node.stop()?;
    Ok(IdleReport {
        processor: processor(),
        start_to_ready_seconds: median(&seconds),
        starts: seconds,
        resident_bytes,
        cpu_percent: 100.0 * used / window as f64,
        cpu_window_seconds: window as f64,
    })
}

impl IdleReport {
    /// For people.
    pub fn render(&self) -> String {
        let measured = [
            format!("{:.3} s", self.start_to_ready_seconds),
            format!("{:.1} MB", self.resident_bytes as f64 / 1e6),
            format!("{:.2} %", self.cpu_percent),
        ];
        let mut table = Table::new(&["idle", "measured", "promised"]);
        for ((what, promised), measured) in PROMISED.into_iter().zip(measured) {
            table.row(vec![what.to_owned(), measured, promised.to_owned()]);
        }
        format!("idle: `exo up` with no model, on {}\n\n{}\n", self.processor, table.render())
    }
}
