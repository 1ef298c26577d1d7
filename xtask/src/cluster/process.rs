//! A process that can be killed, stopped and started again, and never outlives its machine.

use crate::cluster::machine::Machine;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often it is looked whether a process has ended.
const POLL: Duration = Duration::from_millis(5);

/// Lines that tell why a command failed.
const COMPLAINT: usize = 4;

/// A running process, or one that has ended and was not looked at since.
pub struct Process {
    child: Child,
    paused: bool,
    log: PathBuf,
}

impl Process {
    /// Starts it on a machine; what it says is added to `log`. It belongs to a group of its own: Ctrl-C reaches us alone.
    pub fn start(machine: &Machine, program: &Path, arguments: Vec<String>, log: PathBuf) -> Result<Self> {
        let mut command = bound_to_starter(program);
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = fs::OpenOptions::new().create(true).append(true).open(&log);
        let output = output.with_context(|| log.display().to_string())?;
        let errors = output.try_clone().context("a second handle on the log")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let name = program.display().to_string();
        let child = machine.run(move || command.spawn())?.with_context(|| format!("{name} does not start"))?;
        Ok(Self { child, paused: false, log })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it is stopped by [`Process::pause`].
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// SIGKILL, and waits for the end, which the kernel makes.
    pub fn kill(&mut self) -> Result<()> {
        self.paused = false;
        self.child.kill().context("it cannot be killed")?;
        self.child.wait().context("it is ours")?;
        Ok(())
    }

    /// SIGSTOP.
    pub fn pause(&mut self) -> Result<()> {
        self.paused = true;
        send(self.id(), Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub fn resume(&mut self) -> Result<()> {
        self.paused = false;
        send(self.id(), Signal::SIGCONT)
    }

    /// SIGTERM, then SIGKILL if it has not ended within `patience`: then the result is none.
    pub fn stop(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        // Gone already is as good.
        let _ = send(self.id(), Signal::SIGTERM);
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if let Some(status) = self.child.try_wait().context("it is ours")? {
                return Ok(Some(status));
            }
            sleep(POLL);
        }
        self.kill().map(|()| None)
    }

    /// Waits until it ends by itself, and gives all that it said; an error if it ends badly, or not in time.
    pub fn finish(mut self, patience: Duration) -> Result<String> {
        let begin = Instant::now();
        loop {
            match self.child.try_wait().context("it is ours")? {
                Some(status) if status.success() => return Ok(fs::read_to_string(&self.log).unwrap_or_default()),
                // A command that was tried again and again has said the same as often.
                Some(status) => bail!("{status}: {}", self.last_words(COMPLAINT)),
                None if begin.elapsed() > patience => {
                    bail!("it has not ended after {patience:?}: {}", self.last_words(COMPLAINT))
                }
                None => sleep(POLL),
            }
        }
    }

    /// Ids of the processes that it started.
    pub fn children(&self) -> Vec<u32> {
        children_of(self.id())
    }

    /// The end of what it said.
    pub fn last_words(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// util-linux's `setpriv` has the kernel kill the program with the thread that started it; it becomes that program, so
/// that the ids are its own. Where it is missing, only an orderly end of ours ends the program.
fn bound_to_starter(program: &Path) -> Command {
    let has_setpriv = Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_setpriv {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn send(process: u32, signal: Signal) -> Result<()> {
    let id = Pid::from_raw(i32::try_from(process)?);
    kill(id, signal).with_context(|| format!("{signal} to {process}"))
}

/// Ids of the processes that a process started.
pub fn children_of(process: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect()
}
