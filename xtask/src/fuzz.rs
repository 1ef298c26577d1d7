//! Fuzzes everything that reads foreign bytes: builds `exo-fuzz` so that it tells which of its code an input reaches, and
//! runs libFuzzer on each of its targets.
//!
//! The build is one of the stable compiler: the flags are those of LLVM's pass that counts. It has a target folder of its
//! own, so that nothing else is built anew for it.

mod report;

use crate::places::{Places, cargo};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use exo_fuzz::{TARGETS, Target};
use report::Report;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// What makes libFuzzer see coverage: counters at every edge, where they are, and both sides of comparisons. Libraries that
/// draw lots, as ahash does for the order of its maps, know the last, and draw the same ones in every run.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];
/// Seconds that one input may take. None takes one, but machines may have other things to do.
const PATIENCE_SECONDS: u32 = 25;
/// Memory that an input may take, with all that the program holds.
const MOST_MEMORY_MIB: u32 = 1024;

/// What is looked for, and how long.
#[derive(Args)]
#[command(after_help = lesson())]
pub struct Fuzz {
    /// Only these [default: all].
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// So many seconds for each target.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// So many targets at a time [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Look for nothing: read this file with the one target that is named, and show what comes of it.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// What stands under the options: the targets, and what to do with a finding.
fn lesson() -> String {
    let target = |target: &Target| format!("  {:<18}{}\n", target.name, target.reads);
    let targets: String = TARGETS.iter().map(target).collect();
    format!(
        "Targets, and what each of them reads:\n{targets}\n\
        It needs a C++ compiler, and builds some minutes the first time. Inputs that reach new code\n\
        stay in target/fuzz/corpus/TARGET, and the next run begins with them.\n\n\
        An input that makes the target panic, takes longer than {PATIENCE_SECONDS} s or more memory than\n\
        {MOST_MEMORY_MIB} MiB is a finding: it is kept in target/fuzz/findings/TARGET and told with the\n\
        command that shows it again, and the exit code is 1. Once it is mended, put it into\n\
        crates/exo-fuzz/corpus/TARGET: every test run reads what is there.\n\n\
        Examples:\n  \
        cargo xtask fuzz                      a minute for each target\n  \
        cargo xtask fuzz gguf --seconds 3600  an hour for the files of models\n  \
        cargo xtask fuzz gguf --replay FILE   a finding again"
    )
}

/// Builds and runs; what is found is an error, once all have run.
pub fn run(options: &Fuzz) -> Result<()> {
    let targets = chosen(&options.targets)?;
    let fuzzer = Fuzzer::build(&Places::find()?)?;
    if let Some(file) = &options.replay {
        let [target] = targets.as_slice() else { bail!("name the one target that is to read {}", file.display()) };
        let status = fuzzer.command(*target).arg(file).status().context("exo-fuzz does not start")?;
        ensure!(status.success(), "{} does not bear {}", target.name, file.display());
        return Ok(());
    }
    let jobs = match options.jobs {
        Some(jobs) => jobs as usize,
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    eprintln!("{} targets, {} s each, {jobs} at a time", targets.len(), options.seconds);
    let findings = fuzzer.all(&targets, options.seconds, jobs)?;
    ensure!(findings == 0, "{findings} of {} targets found something", targets.len());
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Target>> {
    if names.is_empty() {
        return Ok(TARGETS.to_vec());
    }
    let known = || TARGETS.map(|target| target.name).join(", ");
    let target =
        |name: &String| exo_fuzz::target(name).with_context(|| format!("no target {name}; there are {}", known()));
    names.iter().map(target).collect()
}

/// The program, and where its files are.
struct Fuzzer {
    program: PathBuf,
    /// Seeds, and what was found before; nothing is written here.
    seeds: PathBuf,
    /// Inputs that reached something new, kept from run to run.
    corpus: PathBuf,
    /// Inputs that a target did not bear.
    findings: PathBuf,
}

impl Fuzzer {
    fn build(places: &Places) -> Result<Self> {
        let (target, host) = (places.target.join("fuzz"), host()?);
        eprintln!("building the targets");
        let mut command = cargo();
        // With a host's name cargo leaves build scripts and macros without the flags; they could not be linked.
        command.args(["build", "--quiet", "--locked", "--package", "exo-fuzz", "--features", "libfuzzer"]);
        command.args(["--profile", "fuzz", "--target", &host]).current_dir(&places.root);
        command.env("CARGO_TARGET_DIR", &target).env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
        ensure!(command.status().context("cargo does not start")?.success(), "the targets do not build");
        Ok(Self {
            program: target.join(host).join("fuzz/exo-fuzz"),
            seeds: places.root.join("crates/exo-fuzz/corpus"),
            corpus: target.join("corpus"),
            findings: target.join("findings"),
        })
    }

    fn command(&self, target: Target) -> Command {
        let mut command = Command::new(&self.program);
        command.env("EXO_FUZZ_TARGET", target.name);
        command.arg(format!("-timeout={PATIENCE_SECONDS}")).arg(format!("-rss_limit_mb={MOST_MEMORY_MIB}"));
        command
    }

    /// Runs all, some at a time, and tells of each when it ends; how many found something.
    fn all(&self, targets: &[Target], seconds: u32, jobs: usize) -> Result<usize> {
        let waiting = Mutex::new(targets.iter());
        let next = || waiting.lock().expect("no code panics while it holds this lock").next();
        let work = || -> Result<usize> {
            let mut findings = 0;
            while let Some(target) = next() {
                let report = self.one(*target, seconds)?;
                println!("{report}");
                findings += usize::from(report.finding.is_some());
            }
            Ok(findings)
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.min(targets.len())).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).sum()
        })
    }

    fn one(&self, target: Target, seconds: u32) -> Result<Report> {
        let (corpus, findings) = (self.corpus.join(target.name), self.findings.join(target.name));
        for folder in [&corpus, &findings] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let mut command = self.command(target);
        command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        let output = command.arg(&corpus).arg(self.seeds.join(target.name)).output();
        let output = output.with_context(|| format!("{} does not start", self.program.display()))?;
        let log = String::from_utf8_lossy(&output.stderr);
        Ok(Report::of(target.name, output.status.success(), &log))
    }
}

/// This machine, as the compiler names it.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it builds for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_of_every_target() {
        let lesson = lesson();
        for target in TARGETS {
            assert!(lesson.contains(&format!("\n  {} ", target.name)), "{} is missing in {lesson}", target.name);
        }
    }

    #[test]
    fn targets_are_chosen_by_name() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            chosen(&wanted).map(|targets| targets.iter().map(|target| target.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["reply", "gguf"]).expect("both are there"), ["reply", "gguf"]);
        assert_eq!(names(&[]).expect("all"), TARGETS.map(|target| target.name));
        let refused = names(&["gugf"]).expect_err("there is none").to_string();
        assert!(refused.contains("gugf") && refused.contains("safetensors"), "{refused}");
    }
}
