//! llama.cpp as a child process: `tools/reference-llama`, built for the machine on first use.

use crate::places::cargo;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What llama.cpp needs to be built, and the Debian package that has it.
const TOOLS: [(&str, &str); 3] = [("cmake", "cmake"), ("c++", "g++"), ("clang", "clang libclang-dev")];

/// Clang before 16 spells these otherwise, and llama.cpp, which asks for them, would leave its AMX products out.
const AMX_NAMES: &str = "-D__AMX_TILE__=1 -D__AMX_INT8__=1 -D__AMX_BF16__=1";

/// One model in llama.cpp. It computes only while a call is under way; dropping it ends it.
pub struct ReferenceLlama {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// Builds the tool, which takes some minutes the first time, and returns its path.
pub fn build(root: &Path, target: &Path) -> Result<PathBuf> {
    let missing: Vec<_> = TOOLS.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!("llama.cpp cannot be built here; install: {} (Debian: apt-get install {0})", missing.join(" "));
    }
    let target = target.join("reference-llama");
    eprintln!("building llama.cpp for this machine (some minutes the first time)");
    let mut command = cargo();
    // Run in its folder: .cargo/config.toml there asks for the machine's own instructions.
    command.args(["build", "--release", "--locked", "--quiet"]).current_dir(root.join("tools/reference-llama"));
    command.env("CARGO_TARGET_DIR", &target).env_remove("RUSTFLAGS");
    if has_amx() {
        command.env("CFLAGS", AMX_NAMES).env("CXXFLAGS", AMX_NAMES);
    }
    let status = command.status().context("cargo does not start")?;
    ensure!(status.success(), "tools/reference-llama does not build");
    Ok(target.join("release/reference-llama"))
}

fn has_amx() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.split_whitespace().any(|flag| flag == "amx_int8"))
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

impl ReferenceLlama {
    /// Starts the tool and waits until the model is loaded.
    pub fn start(program: &Path, model: &Path, threads: usize, context: u32) -> Result<Self> {
        Self::start_with(program, model, threads, context, "auto")
    }

    /// Starts it with the attention that is faster on processors: flash attention, its own choice, falls behind as the
    /// context grows.
    pub fn start_fast(program: &Path, model: &Path, threads: usize, context: u32) -> Result<Self> {
        Self::start_with(program, model, threads, context, "plain")
    }

    fn start_with(program: &Path, model: &Path, threads: usize, context: u32, attention: &str) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("--model")
            .arg(model)
            .args(["--threads", &threads.to_string(), "--context", &context.to_string(), "--attention", attention])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let requests = child.stdin.take().context("the child has no standard input")?;
        let replies = BufReader::new(child.stdout.take().context("the child has no standard output")?);
        let mut reference = Self { child, requests, replies };
        reference.reply("ready").with_context(|| model.display().to_string())?;
        Ok(reference)
    }

    /// Logits after every token.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        let reply = self.ask("logits", json!({ "tokens": tokens, "all": true }))?;
        serde_json::from_value(reply["rows"].clone()).context("logits come as rows of numbers")
    }

    /// The likeliest `count` tokens after `tokens`.
    pub fn greedy(&mut self, tokens: &[u32], count: usize) -> Result<Vec<u32>> {
        let reply = self.ask("greedy", json!({ "tokens": tokens, "count": count }))?;
        serde_json::from_value(reply["tokens"].clone()).context("tokens come as numbers")
    }

    /// Token ids of texts; no special tokens are added or read.
    pub fn tokenize(&mut self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        let reply = self.ask("tokenize", json!({ "texts": texts }))?;
        serde_json::from_value(reply["tokens"].clone()).context("tokens come as numbers")
    }

    /// Seconds for a prompt.
    pub fn time_prefill(&mut self, tokens: &[u32]) -> Result<f64> {
        self.seconds("prefill", json!({ "tokens": tokens }))
    }

    /// Seconds for `count` tokens one after the other, after `tokens`, whose own time does not count.
    pub fn time_decode(&mut self, tokens: &[u32], count: usize) -> Result<f64> {
        self.seconds("decode", json!({ "tokens": tokens, "count": count }))
    }

    fn seconds(&mut self, kind: &str, body: Value) -> Result<f64> {
        writeln!(self.requests, "{}", json!({ kind: body })).context("llama.cpp has ended")?;
        self.reply("timed")?["seconds"].as_f64().context("a time is a number")
    }

    /// Asks for something whose reply has the same name.
    fn ask(&mut self, kind: &str, body: Value) -> Result<Value> {
        writeln!(self.requests, "{}", json!({ kind: body })).context("llama.cpp has ended")?;
        self.reply(kind)
    }

    fn reply(&mut self, kind: &str) -> Result<Value> {
        let mut line = String::new();
        self.replies.read_line(&mut line).context("cannot read from llama.cpp")?;
        ensure!(!line.is_empty(), "llama.cpp has ended; its message is above");
        let mut reply: Value = serde_json::from_str(&line).context("llama.cpp's reply is not JSON")?;
        if let Some(message) = reply["error"]["message"].as_str() {
            bail!("llama.cpp: {message}");
        }
        ensure!(!reply[kind].is_null(), "llama.cpp answered {line} where {kind} was expected");
        Ok(reply[kind].take())
    }
}

impl Drop for ReferenceLlama {
    fn drop(&mut self) {
        // It holds nothing that must be saved; a child that is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
