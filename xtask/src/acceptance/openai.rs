//! OpenAI's own Python client against a running demo: what people's tools do has to work.

use super::{Bench, Outcome, python};
use crate::free_ports::free_port;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A child that does not outlive this test.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // SIGTERM first, so that the demo stops its own nodes; it holds them with the parent-death signal anyway.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Starts the demo, waits for the line that says where it serves, and runs the client's script.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let python = match python::environment(bench, "openai") {
        Ok(programs) => programs.join("python"),
        Err(error) => return Ok(Outcome::Skipped(format!("no Python environment: {error:#}"))),
    };
    let port = free_port()?;
    let mut demo = Command::new(bench.programs.join("exo"))
        .args(["demo", "--api-port", &port.to_string(), "--models"])
        .arg(bench.root.join("models"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("exo demo")?;
    let output = demo.stdout.take().context("the demo's output is piped")?;
    let demo = Owned(demo);
    let url = format!("http://127.0.0.1:{port}");
    let mut seen = String::new();
    let serves = BufReader::new(output).lines().map_while(Result::ok).any(|line| {
        seen.push_str(&line);
        seen.push('\n');
        line.contains("Serving until Ctrl-C")
    });
    ensure!(serves, "the demo ended before it served:\n{seen}");
    let status = Command::new(python)
        .arg(bench.root.join("xtask/clients/openai_client.py"))
        .arg(format!("{url}/v1"))
        .status()
        .context("the client's script")?;
    drop(demo);
    if !status.success() {
        bail!("the client's script ended with {status}");
    }
    Ok(Outcome::Passed)
}
