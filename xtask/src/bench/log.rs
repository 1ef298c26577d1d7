//! The replicated log: how long an acknowledged command takes, how many go through, and how etcd does on the same disk.

mod commands;
mod etcd;
mod masters;
mod writers;

use crate::bench::machine::processor;
use crate::places::Places;
use crate::report::{Table, median};
use anyhow::{Context, Result};
use etcd::Etcd;
use masters::Masters;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use writers::{Load, Quantiles};

/// Writers at the same time, where there are many.
const WRITERS: usize = 64;

/// Events of an append, where appends are large.
const LARGE: usize = 16;

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogReport {
    processor: String,
    /// One page written in place and synced, in microseconds.
    fdatasync: Quantiles,
    /// The log alone, in this process.
    one_master: Part,
    /// Three of them, linked by plain TCP on loopback.
    three_masters: Part,
    commands: Commands,
    /// Missing where no `etcd` is.
    etcd: Option<AgainstEtcd>,
}

/// What some masters did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    /// One writer, one event after the other.
    alone: Load,
    /// 64 writers, one event after the other each.
    crowd: Load,
    /// 64 writers, sixteen events at a time.
    large: Load,
}

/// Clients' commands on their whole way: over the bus, with mutual TLS, to `exo-master` and its log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandReport {
    processor: String,
    /// One page written in place and synced, in microseconds.
    fdatasync: Quantiles,
    #[serde(flatten)]
    commands: Commands,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Commands {
    /// To one master.
    command_one: CommandPart,
    /// To the leader of three.
    command_three: CommandPart,
}

/// What clients' commands did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CommandPart {
    /// One client, one command after the other.
    alone: Load,
    /// 64 clients, one command after the other each, over one link.
    crowd: Load,
}

/// The same load, each write over loopback, on both.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AgainstEtcd {
    version: String,
    one: Pair,
    three: Pair,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    /// A byte to the log and one back, over plain TCP.
    log: Load,
    log_ratio: Ratio,
    /// Commands over the bus with TLS.
    commands: Load,
    commands_ratio: Ratio,
    /// `Put` over gRPC without TLS.
    etcd: Load,
}

/// Above 1 is in our favour.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ratio {
    /// Ours over etcd's.
    throughput: f64,
    /// Etcd's over ours.
    p99: f64,
}

impl Ratio {
    fn of(ours: &Load, etcd: &Load) -> Self {
        let throughput = ours.events_per_second / etcd.events_per_second;
        Self { throughput, p99: etcd.latency.p99 / ours.latency.p99 }
    }
}

/// Measures. The files lie beside the build, on its disk.
pub fn run(places: &Places, quick: bool) -> Result<LogReport> {
    runtime()?.block_on(measure(places, quick))
}

/// Measures clients' commands alone.
pub fn run_commands(places: &Places, quick: bool) -> Result<CommandReport> {
    let fdatasync = fdatasync(&places.target, samples(quick))?;
    let commands = runtime()?.block_on(commands(places, window(quick)))?;
    Ok(CommandReport { processor: processor(), fdatasync, commands })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn window(quick: bool) -> Duration {
    Duration::from_secs(if quick { 2 } else { 5 })
}

fn samples(quick: bool) -> usize {
    if quick { 200 } else { 1000 }
}

async fn measure(places: &Places, quick: bool) -> Result<LogReport> {
    let disk = places.target.as_path();
    let window = window(quick);
    let rounds = if quick { 1 } else { 3 };
    let fdatasync = fdatasync(disk, samples(quick))?;
    eprintln!("one master");
    let one_master = part(disk, 1, window).await?;
    eprintln!("three masters");
    let three_masters = part(disk, 3, window).await?;
    let commands = commands(places, window).await?;
    let etcd = match etcd::version() {
        Some(version) => {
            eprintln!("against {version}");
            let one = pair(places, 1, window, rounds).await?;
            let three = pair(places, 3, window, rounds).await?;
            Some(AgainstEtcd { version, one, three })
        }
        None => None,
    };
    let processor = processor();
    Ok(LogReport { processor, fdatasync, one_master, three_masters, commands, etcd })
}

/// What the disk takes for the least that can be durable.
fn fdatasync(disk: &Path, count: usize) -> Result<Quantiles> {
    let scratch = tempfile::tempdir_in(disk)?;
    let file: File = OpenOptions::new().create_new(true).write(true).open(scratch.path().join("sync"))?;
    let page = [7_u8; 4096];
    for at in 0..64_u64 {
        file.write_all_at(&page, at * 4096)?;
    }
    file.sync_all()?;
    let mut times = Vec::with_capacity(count);
    for at in 0..count as u64 {
        let begin = Instant::now();
        file.write_all_at(&page, at % 64 * 4096)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    Ok(Quantiles::of(times))
}

async fn part(disk: &Path, count: usize, window: Duration) -> Result<Part> {
    let masters = Masters::start(disk, count).await?;
    let alone = writers::run(1, 1, window, |_| masters.writer()).await?;
    let crowd = writers::run(WRITERS, 1, window, |_| masters.writer()).await?;
    let large = writers::run(WRITERS, LARGE, window, |_| masters.writer()).await?;
    masters.stop().await;
    Ok(Part { alone, crowd, large })
}

async fn commands(places: &Places, window: Duration) -> Result<Commands> {
    eprintln!("commands to one master, and to three");
    let command_one = command_part(places, 1, window).await?;
    let command_three = command_part(places, 3, window).await?;
    Ok(Commands { command_one, command_three })
}

async fn command_part(places: &Places, count: usize, window: Duration) -> Result<CommandPart> {
    let masters = commands::Masters::start(places, count).await?;
    let alone = writers::run(1, 1, window, |_| masters.client()).await?;
    let crowd = writers::run(WRITERS, 1, window, |_| masters.client()).await?;
    masters.stop().await?;
    Ok(CommandPart { alone, crowd })
}

/// Round by round, so that all meet the disk's moods.
async fn pair(places: &Places, count: usize, window: Duration, rounds: usize) -> Result<Pair> {
    let disk = places.target.as_path();
    let masters = Masters::start(disk, count).await?;
    let door = masters.open_door().await?;
    let etcd = Etcd::start(disk, count).await.context("etcd does not start")?;
    let commanded = commands::Masters::start(places, count).await?;
    let (mut log, mut commands, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        log.push(writers::run(WRITERS, 1, window, |_| writers::Client::connect(door)).await?);
        commands.push(writers::run(WRITERS, 1, window, |_| commanded.client()).await?);
        theirs.push(writers::run(WRITERS, 1, window, |writer| etcd.writer(writer)).await?);
    }
    etcd.stop().await?;
    masters.stop().await;
    commanded.stop().await?;
    let (log, commands, etcd) = (middle(log), middle(commands), middle(theirs));
    let (log_ratio, commands_ratio) = (Ratio::of(&log, &etcd), Ratio::of(&commands, &etcd));
    Ok(Pair { log, log_ratio, commands, commands_ratio, etcd })
}

/// Number by number, the median of the rounds.
fn middle(loads: Vec<Load>) -> Load {
    let of = |pick: fn(&Load) -> f64| median(&loads.iter().map(pick).collect::<Vec<_>>());
    Load {
        events_per_second: of(|load| load.events_per_second),
        latency: Quantiles {
            p50: of(|load| load.latency.p50),
            p99: of(|load| load.latency.p99),
            worst: of(|load| load.latency.worst),
        },
    }
}

impl LogReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["log", "measured", "promised"]);
        let mut row = |what: &str, measured: String, promised: &str| {
            table.row(vec![what.to_owned(), measured, promised.to_owned()]);
        };
        let above = |load: &Load| above(load, &self.fdatasync);
        row("fdatasync, p50", millis(self.fdatasync.p50), "");
        for (what, part, promised) in [
            ("the log of one master, in this process", &self.one_master, ["≤ 0.5 ms", "", "≥ 50000/s"]),
            ("of three, linked by plain TCP", &self.three_masters, ["", "≤ 1.5 ms", ""]),
        ] {
            row(what, String::new(), "");
            row("  acknowledged, p50", millis(part.alone.latency.p50), promised[1]);
            row("  p50 above fdatasync", above(&part.alone), promised[0]);
            row("  p99", millis(part.alone.latency.p99), "");
            row("  64 writers, an event an append", rate(&part.crowd), promised[2]);
            row("  64 writers, sixteen an append", rate(&part.large), "");
        }
        self.commands.rows(&self.fdatasync, |what, measured| row(what, measured, ""));
        let text = format!("log: fsync on, on {}\n\n{}\n", self.processor, table.render());
        match &self.etcd {
            Some(etcd) => format!("{text}\n{}", etcd.render()),
            None => format!("{text}\nno etcd here to compare with (Debian: etcd-server)\n"),
        }
    }
}

impl Commands {
    fn rows(&self, fdatasync: &Quantiles, mut row: impl FnMut(&str, String)) {
        for (what, part) in [
            ("a client's command to exo-master, over TLS", &self.command_one),
            ("to the leader of three, over TLS", &self.command_three),
        ] {
            row(what, String::new());
            row("  acknowledged, p50", millis(part.alone.latency.p50));
            row("  p50 above fdatasync", above(&part.alone, fdatasync));
            row("  p99", millis(part.alone.latency.p99));
            row("  64 clients over one link", commands_rate(&part.crowd));
        }
    }
}

impl CommandReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["commands", "measured"]);
        table.row(vec!["fdatasync, p50".to_owned(), millis(self.fdatasync.p50)]);
        self.commands.rows(&self.fdatasync, |what, measured| table.row(vec![what.to_owned(), measured]));
        format!("clients' commands: fsync on, on {}\n\n{}", self.processor, table.render())
    }
}

impl AgainstEtcd {
    fn render(&self) -> String {
        let mut table = Table::new(&["64 writers over loopback", "exo", "etcd", "ratio"]);
        for (name, pair) in [("one", &self.one), ("three", &self.three)] {
            for (what, ours, ratio) in [
                ("the log, plain TCP", &pair.log, &pair.log_ratio),
                ("commands, TLS", &pair.commands, &pair.commands_ratio),
            ] {
                let shown = |ratio: f64| format!("{ratio:.2}×");
                let (writes, etcd) = (format!("{name}, {what}: writes"), rate(&pair.etcd));
                table.row(vec![writes, rate(ours), etcd, shown(ratio.throughput)]);
                let (p99, etcd) = (format!("{name}, {what}: p99"), millis(pair.etcd.latency.p99));
                table.row(vec![p99, millis(ours.latency.p99), etcd, shown(ratio.p99)]);
            }
        }
        format!("{} without TLS: a ratio above 1 is in our favour\n\n{}\n", self.version, table.render())
    }
}

fn millis(microseconds: f64) -> String {
    format!("{:.3} ms", microseconds / 1000.0)
}

fn above(load: &Load, fdatasync: &Quantiles) -> String {
    millis(load.latency.p50 - fdatasync.p50)
}

fn commands_rate(load: &Load) -> String {
    format!("{:.0} commands/s", load.events_per_second)
}

fn rate(load: &Load) -> String {
    format!("{:.0}/s", load.events_per_second)
}
