//! transformers and torch as a child process: `tools/reference-torch`, in a virtual environment made on first use.

use anyhow::{Context, Result, bail, ensure};
use exo_testkit::ReferenceEncoding;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// transformers, ready to load one model after the other. Dropping it ends it.
pub struct ReferenceTorch {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl ReferenceTorch {
    /// Makes the environment if there is none, and starts the tool.
    pub fn start(root: &Path, target: &Path) -> Result<Self> {
        let tool = root.join("tools/reference-torch");
        let python = environment(&tool, target)?;
        let mut child = Command::new(python)
            .arg(tool.join("reference.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("tools/reference-torch does not start")?;
        let requests = child.stdin.take().context("the child has no standard input")?;
        let replies = BufReader::new(child.stdout.take().context("the child has no standard output")?);
        let mut torch = Self { child, requests, replies };
        torch.reply("ready")?;
        Ok(torch)
    }

    /// Logits after every token, of the model in a Hugging Face directory.
    pub fn logits(&mut self, folder: &Path, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        writeln!(self.requests, "{}", json!({ "folder": folder, "tokens": tokens })).context("torch has ended")?;
        serde_json::from_value(self.reply("rows")?).context("logits come as rows of numbers")
    }

    /// What the encoder in a Hugging Face directory makes of texts.
    pub fn encodings(&mut self, folder: &Path, texts: &[&str]) -> Result<Vec<ReferenceEncoding>> {
        writeln!(self.requests, "{}", json!({ "folder": folder, "texts": texts })).context("torch has ended")?;
        serde_json::from_value(self.reply("encodings")?).context("encodings come as tokens and vectors")
    }

    fn reply(&mut self, kind: &str) -> Result<Value> {
        let mut line = String::new();
        self.replies.read_line(&mut line).context("cannot read from torch")?;
        ensure!(!line.is_empty(), "torch has ended; its message is above");
        let mut reply: Value = serde_json::from_str(&line).context("torch's reply is not JSON")?;
        if let Some(message) = reply["error"].as_str() {
            bail!("torch: {message}");
        }
        ensure!(!reply[kind].is_null(), "torch answered {line} where {kind} was expected");
        Ok(reply[kind].take())
    }
}

impl Drop for ReferenceTorch {
    fn drop(&mut self) {
        // It holds nothing that must be saved; a child that is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter of the virtual environment; packages are installed where they are missing or of another version.
fn environment(tool: &Path, target: &Path) -> Result<PathBuf> {
    let folder = target.join("reference-torch/venv");
    let python = folder.join("bin/python");
    let wanted = std::fs::read(tool.join("requirements.txt")).context("tools/reference-torch/requirements.txt")?;
    let installed = folder.join("installed.txt");
    if std::fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!("installing torch and transformers (some minutes)");
    if !python.exists() {
        let system = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        run(Command::new(system).args(["-m", "venv"]).arg(&folder))?;
    }
    let pip = || {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "install", "--quiet"]);
        command
    };
    if let Some(index) = std::env::var_os("TORCH_INDEX") {
        run(pip().arg("--index-url").arg(index).arg(torch_line(&wanted)?))?;
    }
    run(pip().arg("--requirement").arg(tool.join("requirements.txt")))?;
    std::fs::write(&installed, wanted).with_context(|| installed.display().to_string())?;
    Ok(python)
}

fn torch_line(requirements: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(requirements);
    let line = text.lines().find(|line| line.starts_with("torch=="));
    line.map(str::to_owned).context("requirements.txt names no version of torch")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} does not start", command.get_program().display()))?;
    ensure!(status.success(), "{} failed; its message is above", command.get_program().display());
    Ok(())
}
