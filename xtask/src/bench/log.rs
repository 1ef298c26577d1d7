//! The replicated log: how long an acknowledged command takes, how many go through, and how etcd does on the same disk.

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
    one_master: Part,
    three_masters: Part,
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

/// The same load, each write over a loopback connection, on both.
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
    ours: Load,
    etcd: Load,
    /// Ours over etcd's: more is better.
    throughput_ratio: f64,
    /// Etcd's over ours: more is better.
    p99_ratio: f64,
}

/// Measures. The files lie beside the build, on its disk.
pub fn run(places: &Places, quick: bool) -> Result<LogReport> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&places.target, quick))
}

async fn measure(disk: &Path, quick: bool) -> Result<LogReport> {
    let window = Duration::from_secs(if quick { 2 } else { 5 });
    let rounds = if quick { 1 } else { 3 };
    let fdatasync = fdatasync(disk, if quick { 200 } else { 1000 })?;
    eprintln!("one master");
    let one_master = part(disk, 1, window).await?;
    eprintln!("three masters");
    let three_masters = part(disk, 3, window).await?;
    let etcd = match etcd::version() {
        Some(version) => {
            eprintln!("against {version}");
            let one = pair(disk, 1, window, rounds).await?;
            let three = pair(disk, 3, window, rounds).await?;
            Some(AgainstEtcd { version, one, three })
        }
        None => None,
    };
    Ok(LogReport { processor: processor(), fdatasync, one_master, three_masters, etcd })
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

/// Round by round, so that both meet the disk's moods.
async fn pair(disk: &Path, count: usize, window: Duration, rounds: usize) -> Result<Pair> {
    let masters = Masters::start(disk, count).await?;
    let door = masters.open_door().await?;
    let etcd = Etcd::start(disk, count).await.context("etcd does not start")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(writers::run(WRITERS, 1, window, |_| writers::Client::connect(door)).await?);
        theirs.push(writers::run(WRITERS, 1, window, |writer| etcd.writer(writer)).await?);
    }
    etcd.stop().await?;
    masters.stop().await;
    let (ours, etcd) = (middle(ours), middle(theirs));
    let throughput_ratio = ours.events_per_second / etcd.events_per_second;
    let p99_ratio = etcd.latency.p99 / ours.latency.p99;
    Ok(Pair { ours, etcd, throughput_ratio, p99_ratio })
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
        let above = self.one_master.alone.latency.p50 - self.fdatasync.p50;
        row("fdatasync, p50", millis(self.fdatasync.p50), "");
        row("one master, acknowledged p50", millis(self.one_master.alone.latency.p50), "");
        row("  above fdatasync", millis(above), "≤ 0.5 ms");
        row("  p99", millis(self.one_master.alone.latency.p99), "");
        row("  64 writers, one event at a time", rate(&self.one_master.crowd), "");
        row("  64 writers, sixteen at a time", rate(&self.one_master.large), "≥ 50000/s");
        row("three masters, acknowledged p50", millis(self.three_masters.alone.latency.p50), "≤ 1.5 ms");
        row("  p99", millis(self.three_masters.alone.latency.p99), "");
        row("  64 writers, one event at a time", rate(&self.three_masters.crowd), "");
        row("  64 writers, sixteen at a time", rate(&self.three_masters.large), "");
        let text = format!("log: fsync on, on {}\n\n{}\n", self.processor, table.render());
        match &self.etcd {
            Some(etcd) => format!("{text}\n{}", etcd.render()),
            None => format!("{text}\nno etcd here to compare with (Debian: etcd-server)\n"),
        }
    }
}

impl AgainstEtcd {
    fn render(&self) -> String {
        let mut table = Table::new(&["64 writers over loopback", "exo", "etcd", "ratio"]);
        for (name, pair) in [("one", &self.one), ("three", &self.three)] {
            let ratio = |ratio: f64| format!("{ratio:.2}×");
            let throughput = ratio(pair.throughput_ratio);
            table.row(vec![format!("{name}: writes"), rate(&pair.ours), rate(&pair.etcd), throughput]);
            let times = [pair.ours.latency.p99, pair.etcd.latency.p99].map(millis);
            let [ours, etcd] = times;
            table.row(vec![format!("{name}: p99"), ours, etcd, ratio(pair.p99_ratio)]);
        }
        format!("{}: a ratio above 1 is in our favour\n\n{}\n", self.version, table.render())
    }
}

fn millis(microseconds: f64) -> String {
    format!("{:.3} ms", microseconds / 1000.0)
}

fn rate(load: &Load) -> String {
    format!("{:.0}/s", load.events_per_second)
}
