//! Runners of a model over two nodes are killed while it answers: every answer must be the one that it gives undisturbed.

mod seen;

use crate::cluster::{Answer, Api, Change, ChatAsk, Cluster, Node, Part, Programs, Shape, Site, Told};
use crate::places::Places;
use crate::report::{Table, median};
use anyhow::{Context, Result, ensure};
use clap::Args;
use exo_testkit::{ModelSpec, Random};
use seen::Seen;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const MODEL: &str = "model";

/// Nodes, and ranks of the model.
const RANKS: u32 = 2;

/// Streams at the same time, each with a question of its own.
const STREAMS: usize = 4;

/// Tokens of an answer: under way for a second or so.
const TOKENS: u32 = 160;

/// Pieces by which every stream must have gone on before the next kill: so an answer meets ten kills at most.
const GROWTH: usize = 16;

/// Until nodes have found each other, and until ranks are ready again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Within which an answer has ended: it is disturbed several times, and each time its ranks start and load.
const DEADLINE: Duration = Duration::from_secs(120);

const LOOK: Duration = Duration::from_millis(20);

/// Longest time that ranks which are ready are left in peace.
const PEACE_MS: u64 = 700;

/// How the engine is disturbed.
#[derive(Args)]
pub struct EngineChaos {
    /// So many runners are killed.
    #[arg(long, default_value_t = 20, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    kills: usize,
    /// How the model is cut.
    #[arg(long, value_enum, default_value_t = Cut::Pipeline)]
    sharding: Cut,
    /// Kills the same runners at about the same times again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the folders of the nodes, logs included.
    #[arg(long)]
    keep: bool,
    /// Print JSON at the end instead of a table.
    #[arg(long)]
    json: bool,
}

/// How a model is cut in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
pub enum Cut {
    /// By layers.
    Pipeline,
    /// Every layer, by heads and columns.
    Tensor,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    sharding: Cut,
    seed: u64,
    kills: usize,
    /// Answers that were as they had to be.
    right: usize,
    /// Of those, so many during which a runner was killed.
    disturbed: usize,
    /// Answers with other text, or without an end.
    wrong: Vec<String>,
    /// Answers that ended with an error, by code.
    failed: BTreeMap<String, usize>,
    /// Seconds from a kill until all ranks are ready: the middle, and the longest.
    ready_again_median: f64,
    ready_again_longest: f64,
    /// Seconds of the longest wait for a piece.
    longest_pause: f64,
}

/// Runs it: an error if an answer was not as it had to be.
pub fn run(options: &EngineChaos) -> Result<()> {
    let programs = Programs::build(&Places::find()?)?;
    let folder = tempfile::Builder::new().prefix("exo-chaos-").tempdir().context("no temporary folder")?;
    let models = folder.path().join("models");
    write_model(&models)?;
    let site = Site::loopback(RANKS as usize)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let parts = vec![Part::SERVICES.to_vec(), vec![Part::Worker]];
    let mut cluster = Cluster::new(site, programs, folder.path(), &models, Shape { parts, deadline: DEADLINE })?;
    cluster.start_all()?;
    let api = cluster.apis()?.pop().context("the first node has an api")?;
    let report = Run { runtime, api, options }.run(&mut cluster).with_context(|| cluster.last_words());
    let stopped = cluster.stop();
    if options.keep {
        eprintln!("the folders of the nodes are in {}", super::keep(folder).display());
    }
    let report = report?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{}", report.render()),
    }
    report.judge()?;
    stopped
}

fn write_model(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let spec = ModelSpec {
        layers: 8,
        hidden: 256,
        heads: 4,
        kv_heads: 2,
        head_width: 64,
        feed_forward: 768,
        context: 512,
        ..ModelSpec::default()
    };
    spec.write(&folder.join(format!("{MODEL}.gguf"))).context("the model cannot be written")
}

struct Run<'a> {
    runtime: Runtime,
    api: Api,
    options: &'a EngineChaos,
}

impl Run<'_> {
    fn run(&self, cluster: &mut Cluster) -> Result<Report> {
        self.until("both nodes to have the model", |state| {
            let having = state["downloads"].as_object().into_iter().flatten();
            having.filter(|(_, list)| list.to_string().contains(MODEL)).count() >= RANKS as usize
        })?;
        let placed = self.runtime.block_on(self.api.place_cut(
            MODEL,
            RANKS,
            match self.options.sharding {
                Cut::Pipeline => "Pipeline",
                Cut::Tensor => "Tensor",
            },
        ));
        ensure!(matches!(placed, Change::Acked(_)), "the model cannot be placed: {placed:?}");
        self.until("the ranks to be ready", all_ready)?;
        let expect = Arc::new(self.undisturbed()?);
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let mut clients = JoinSet::new();
        let pieces: Vec<Arc<AtomicUsize>> = (0..STREAMS).map(|_| Arc::default()).collect();
        for (number, pieces) in pieces.iter().cloned().enumerate() {
            let (api, expect, stop, seen) = (self.api.clone(), expect.clone(), stop.clone(), seen.clone());
            clients.spawn_on(Client { api, expect, stop, seen, pieces }.ask(number), self.runtime.handle());
        }
        let waits = self.kill(cluster, &seen, &pieces);
        stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.runtime.block_on(clients.join_next()) {
            client.context("a client ended by a defect")?;
        }
        let seen = locked(&seen).clone();
        let waits = waits.with_context(|| format!("after {} kills, {seen}", seen.kills))?;
        Ok(Report {
            sharding: self.options.sharding,
            seed: self.options.seed,
            kills: waits.len(),
            right: seen.right,
            disturbed: seen.disturbed,
            wrong: seen.wrong,
            failed: seen.failed,
            ready_again_median: median(&waits),
            ready_again_longest: waits.iter().copied().fold(0.0, f64::max),
            longest_pause: seen.longest_pause.as_secs_f64(),
        })
    }

    fn undisturbed(&self) -> Result<Vec<String>> {
        (0..STREAMS)
            .map(|number| {
                let told = self.runtime.block_on(tell(&self.api, number, Arc::default()));
                ensure!(told.answer == Answer::Whole, "an undisturbed answer ended with {:?}", told.answer);
                Ok(told.text)
            })
            .collect()
    }

    /// Kills a runner, waits until all are ready, every stream goes on, and a moment more, and kills again: an answer that
    /// loses its runner three times without a token in between may end. Seconds until all were ready, each time.
    fn kill(&self, cluster: &mut Cluster, seen: &Mutex<Seen>, pieces: &[Arc<AtomicUsize>]) -> Result<Vec<f64>> {
        let mut random = Random::new(self.options.seed);
        let mut waits = Vec::new();
        while waits.len() < self.options.kills {
            sleep(Duration::from_millis(random.next_u64() % PEACE_MS));
            let node = usize::try_from(random.next_u64() % u64::from(RANKS))?;
            let killed = Instant::now();
            kill_one(cluster.node(node), random.next_u64())?;
            locked(seen).kills += 1;
            self.until("the loss to be noticed", |state| !all_ready(state))?;
            self.until("the ranks to be ready again", all_ready)?;
            waits.push(killed.elapsed().as_secs_f64());
            until_all_grow(pieces)?;
            let (count, of, so_far) = (waits.len(), self.options.kills, locked(seen));
            eprintln!("  {count} of {of} killed; ready after {:.1} s; so far {so_far}", waits[count - 1]);
        }
        Ok(waits)
    }

    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        let begin = Instant::now();
        loop {
            if self.runtime.block_on(self.api.get("/state")).is_some_and(|state| is_so(&state)) {
                return Ok(());
            }
            ensure!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
            sleep(LOOK);
        }
    }
}

/// Waits until every stream has said [`GROWTH`] pieces more than now.
fn until_all_grow(pieces: &[Arc<AtomicUsize>]) -> Result<()> {
    let count = |pieces: &Arc<AtomicUsize>| pieces.load(Ordering::Relaxed);
    let (begin, before): (_, Vec<usize>) = (Instant::now(), pieces.iter().map(count).collect());
    while pieces.iter().zip(&before).any(|(pieces, before)| count(pieces) < before + GROWTH) {
        ensure!(
            begin.elapsed() < PATIENCE,
            "the ranks are ready, and a stream has said hardly anything for {PATIENCE:?}"
        );
        sleep(LOOK);
    }
    Ok(())
}

/// The kernel's list of children may miss one while it changes.
fn kill_one(node: &Node, choice: u64) -> Result<()> {
    let begin = Instant::now();
    while !node.kill_runner(choice)? {
        ensure!(begin.elapsed() < PATIENCE, "{} has had no runner for {PATIENCE:?}", node.name());
        sleep(LOOK);
    }
    Ok(())
}

fn all_ready(state: &Value) -> bool {
    let ready =
        state["runners"].as_object().into_iter().flatten().filter(|(_, status)| status.get("RunnerReady").is_some());
    ready.count() == RANKS as usize
}

/// What is asked; `pieces` grows with the answer.
fn ask(pieces: Arc<AtomicUsize>) -> ChatAsk {
    ChatAsk { pieces, ..ChatAsk::new(MODEL, TOKENS, DEADLINE * 2) }
}

async fn tell(api: &Api, number: usize, pieces: Arc<AtomicUsize>) -> Told {
    api.tell(&ask(pieces), &format!("Tell me story {number}.")).await
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Client {
    api: Api,
    expect: Arc<Vec<String>>,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    /// Pieces of all its answers.
    pieces: Arc<AtomicUsize>,
}

impl Client {
    async fn ask(self, number: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            let before = locked(&self.seen).kills;
            let told = tell(&self.api, number, self.pieces.clone()).await;
            locked(&self.seen).take(number, before, told, &self.expect[number]);
        }
    }
}

impl Report {
    /// An error if an answer was not as it had to be, or if nothing was shown.
    fn judge(&self) -> Result<()> {
        ensure!(self.wrong.is_empty(), "{} answers were wrong", self.wrong.len());
        ensure!(self.failed.is_empty(), "answers ended with errors: {:?}", self.failed);
        ensure!(self.disturbed > 0, "no answer was under way when a runner was killed: nothing was shown");
        Ok(())
    }

    fn render(&self) -> String {
        let mut table = Table::new(&[
            "kills",
            "right",
            "of those disturbed",
            "wrong",
            "failed",
            "ready again",
            "longest",
            "longest pause",
        ]);
        let seconds = |seconds: f64| format!("{seconds:.2} s");
        table.row(vec![
            self.kills.to_string(),
            self.right.to_string(),
            self.disturbed.to_string(),
            self.wrong.len().to_string(),
            self.failed.values().sum::<usize>().to_string(),
            seconds(self.ready_again_median),
            seconds(self.ready_again_longest),
            seconds(self.longest_pause),
        ]);
        let what =
            format!("a model over {RANKS} {:?} ranks under {STREAMS} streams, seed {}", self.sharding, self.seed);
        format!("engine chaos: {what}\n\n{}\n{}", table.render(), self.wrong.join("\n"))
    }
}
