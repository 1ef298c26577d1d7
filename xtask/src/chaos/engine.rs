//! Runners of a model over two nodes are killed while it answers: every answer must be the one that it gives undisturbed.

use crate::cluster::{Answer, Api, Change, ChatAsk, Cluster, Part, Programs, REQUEST_DEADLINE, Shape, Site, Told};
use crate::places::Places;
use crate::report::{Table, median};
use anyhow::{Context, Result, ensure};
use clap::Args;
use exo_testkit::{ModelSpec, Random};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Until nodes have found each other, and until ranks are ready again.
const PATIENCE: Duration = Duration::from_secs(60);

const LOOK: Duration = Duration::from_millis(20);

/// Longest time that ranks which are ready are left in peace.
const PEACE_MS: u64 = 700;

/// How the engine is disturbed.
#[derive(Args)]
pub struct EngineChaos {
    /// So many runners are killed.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// How the model is cut.
    #[arg(long, value_enum, default_value_t = Cut::Pipeline)]
    sharding: Cut,
    /// Kills the same runners at about the same times again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    let mut cluster = Cluster::new(site, programs, folder.path(), &models, Shape { parts })?;
    cluster.start_all()?;
    let api = cluster.apis()?.pop().context("the first node has an api")?;
    let report = Run { runtime, api, options }.run(&mut cluster).with_context(|| cluster.last_words())?;
    cluster.stop()?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{}", report.render()),
    }
    ensure!(report.wrong.is_empty(), "{} answers were wrong", report.wrong.len());
    ensure!(report.failed.is_empty(), "answers ended with errors: {:?}", report.failed);
    Ok(())
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
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..STREAMS {
            let client = Client { api: self.api.clone(), expect: expect.clone(), stop: stop.clone() };
            clients.spawn_on(client.ask(number), self.runtime.handle());
        }
        let waits = self.kill(cluster);
        stop.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        while let Some(client) = self.runtime.block_on(clients.join_next()) {
            seen.add(client.context("a client ended by a defect")?);
        }
        let waits = waits?;
        Ok(Report {
            sharding: self.options.sharding,
            seed: self.options.seed,
            kills: waits.len(),
            right: seen.right,
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
                let told = self.runtime.block_on(tell(&self.api, number));
                ensure!(told.answer == Answer::Whole, "an undisturbed answer ended with {:?}", told.answer);
                Ok(told.text)
            })
            .collect()
    }

    /// Kills a runner, waits until all are ready and a moment more, and kills again. Seconds of each wait.
    fn kill(&self, cluster: &mut Cluster) -> Result<Vec<f64>> {
        let mut random = Random::new(self.options.seed);
        let mut waits = Vec::new();
        while waits.len() < self.options.kills {
            sleep(Duration::from_millis(random.next_u64() % PEACE_MS));
            let node = usize::try_from(random.next_u64() % u64::from(RANKS))?;
            let killed = Instant::now();
            if !cluster.node(node).kill_runner(random.next_u64())? {
                continue;
            }
            self.until("the loss to be noticed", |state| !all_ready(state))?;
            self.until("the ranks to be ready again", all_ready)?;
            waits.push(killed.elapsed().as_secs_f64());
            eprintln!("  {} of {} killed; ready after {:.1?}", waits.len(), self.options.kills, killed.elapsed());
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

fn all_ready(state: &Value) -> bool {
    let ready =
        state["runners"].as_object().into_iter().flatten().filter(|(_, status)| status.get("RunnerReady").is_some());
    ready.count() == RANKS as usize
}

async fn tell(api: &Api, number: usize) -> Told {
    let within = REQUEST_DEADLINE * 2;
    let ask = ChatAsk { model: MODEL.to_owned(), max_tokens: TOKENS, leave_after: None, within };
    api.tell(&ask, &format!("Tell me story {number}.")).await
}

struct Client {
    api: Api,
    expect: Arc<Vec<String>>,
    stop: Arc<AtomicBool>,
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    right: usize,
    wrong: Vec<String>,
    failed: BTreeMap<String, usize>,
    longest_pause: Duration,
}

impl Client {
    async fn ask(self, number: usize) -> Seen {
        let mut seen = Seen::default();
        while !self.stop.load(Ordering::Relaxed) {
            seen.take(tell(&self.api, number).await, &self.expect[number]);
        }
        seen
    }
}

impl Seen {
    fn take(&mut self, told: Told, expect: &str) {
        self.longest_pause = self.longest_pause.max(told.longest_pause);
        match told.answer {
            Answer::Whole if told.text == expect => self.right += 1,
            Answer::Whole => {
                let same = told.text.chars().zip(expect.chars()).take_while(|(told, expect)| told == expect).count();
                self.wrong.push(format!("another text after {same} of {} characters", expect.chars().count()));
            }
            Answer::Failed(code) => *self.failed.entry(code).or_default() += 1,
            other => self.wrong.push(format!("{other:?}")),
        }
    }

    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong.extend(other.wrong);
        other.failed.into_iter().for_each(|(code, times)| *self.failed.entry(code).or_default() += times);
        self.longest_pause = self.longest_pause.max(other.longest_pause);
    }
}

impl Report {
    fn render(&self) -> String {
        let mut table = Table::new(&["kills", "right", "wrong", "failed", "ready again", "longest", "longest pause"]);
        let seconds = |seconds: f64| format!("{seconds:.2} s");
        table.row(vec![
            self.kills.to_string(),
            self.right.to_string(),
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
