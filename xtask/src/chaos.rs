//! Real processes, real faults, a checked history.
//!
//! Three nodes, each with a master, a worker and an API as processes of their own, in network namespaces, so that links
//! can be cut. Every few seconds something is killed, stopped or cut off, while clients place models, take them away and
//! ask for texts. Afterwards every acknowledged change must be there, every request must have ended, and all nodes must
//! agree; and something must have been killed, cut off, changed and answered, since else nothing was shown.

mod check;
mod demand;
mod engine;
mod fault;
mod history;
mod injector;
mod load;
mod logs;
mod models;
mod report;

use crate::cluster::{Api, Cluster, Part, Programs, Shape, Site};
use crate::places::Places;
use anyhow::{Context, Result, bail, ensure};
use check::{RECOVERY, Rest, unplaced, violations};
use clap::{Args, Subcommand};
use demand::Trial;
use fault::{Means, plan};
use history::History;
use injector::Injector;
use load::{Load, serves, wait_for_answer};
use models::{Models, STEADY, WIDE, probe};
use report::Report;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Nodes.
const NODES: usize = 3;

/// Processes that start, find each other and load a small model need no longer.
const START: Duration = Duration::from_secs(60);

/// Until what is under way at the end is ended and everybody has every event.
const SETTLE: Duration = Duration::from_secs(30);

/// Shorter than this no run can show anything: the first faults come within ten seconds.
const SHORTEST: Duration = Duration::from_secs(20);

/// How often the loops look.
const LOOK: Duration = Duration::from_millis(50);

/// How chaos is made.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Chaos {
    #[command(subcommand)]
    part: Option<Only>,
    /// How long faults come.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Plans the same faults again.
    #[arg(long)]
    seed: Option<u64>,
    /// Masters: on the first so many nodes.
    #[arg(long, default_value_t = NODES, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=3))]
    masters: usize,
    /// On loopback, which needs no root: nothing is cut then, only killed and paused.
    #[arg(long)]
    loopback: bool,
    /// Where there can be no network namespaces, say why and count that as no failure: for CI
    #[arg(long, conflicts_with = "loopback")]
    skip_if_unable: bool,
    /// Keep the folders of the nodes, logs included.
    #[arg(long)]
    keep: bool,
    /// Print JSON at the end instead of a table.
    #[arg(long)]
    json: bool,
}

/// Chaos in one part only.
#[derive(Subcommand)]
enum Only {
    /// Kill the runners of a model over two nodes under streams, and compare what clients read.
    Engine(engine::EngineChaos),
}

/// Runs the chore: an error if a promise was broken.
pub fn run(options: &Chaos) -> Result<()> {
    if let Some(Only::Engine(options)) = &options.part {
        return engine::run(options);
    }
    let shortest = SHORTEST.as_secs_f64() / 60.0;
    ensure!(
        options.minutes >= shortest && options.minutes < 24.0 * 60.0,
        "--minutes must be {shortest:.2} or more, and less than a day"
    );
    if let Some(reason) = Site::why_no_namespaces().filter(|_| !options.loopback) {
        if options.skip_if_unable {
            println!("skipped  chaos: {reason}");
            return Ok(());
        }
        bail!("no link can be cut here: {reason}; with --loopback processes are killed and paused only");
    }
    let programs = Programs::build(&Places::find()?)?;
    let folder = tempfile::Builder::new().prefix("exo-chaos-").tempdir().context("no temporary folder")?;
    let (site, networks) = site(options)?;
    // After the site: the threads of the runtime belong to its network.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stop = stop_signal(&runtime)?;
    let seed = options.seed.unwrap_or_else(any_seed);
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let models = Models::generate(folder.path())?;
    let run = Run { runtime, stop, seed, length, networks };
    let shape = Shape::new((0..NODES).map(|number| parts(number < options.masters)).collect());
    let result = Cluster::new(site, programs, folder.path(), models.folder(), shape)
        .and_then(|cluster| run.chaos(cluster, &models));
    if options.keep {
        eprintln!("the folders of the nodes are in {}", keep(folder).display());
    }
    let report = result?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.render());
    }
    ensure!(report.violations.is_empty(), "{} promises were broken (seed {seed})", report.violations.len());
    Ok(())
}

fn parts(has_master: bool) -> Vec<Part> {
    Part::SERVICES.into_iter().filter(|part| has_master || *part != Part::Master).collect()
}

fn keep(folder: tempfile::TempDir) -> PathBuf {
    folder.keep()
}

fn site(options: &Chaos) -> Result<(Site, String)> {
    if options.loopback {
        return Ok((Site::loopback(NODES)?, "loopback, as asked for".to_owned()));
    }
    Ok((Site::namespaces(NODES)?, "network namespaces, cut by nftables".to_owned()))
}

fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.subsec_nanos().into())
}

/// True once Ctrl-C or SIGTERM came: the run then ends as if its time were over, and cleans up.
fn stop_signal(runtime: &Runtime) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let _entered = runtime.enter();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let flag = stop.clone();
    let wait = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        flag.store(true, Ordering::Relaxed);
    };
    // The runtime owns it, and ends it with itself.
    drop(runtime.spawn(wait));
    Ok(stop)
}

struct Run {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    seed: u64,
    length: Duration,
    networks: String,
}

impl Run {
    fn chaos(&self, mut cluster: Cluster, models: &Models) -> Result<Report> {
        let apis = cluster.apis()?;
        self.say(format_args!("starting {NODES} nodes; seed {}; {}", self.seed, self.networks));
        cluster.start_all()?;
        self.prepare(&mut cluster, &apis, models)?;
        let history = Arc::new(History::begin());
        let mut injector = Injector::new(history.clone());
        let load = self.runtime.block_on(async { Load::start(&apis, &history, models, self.seed) });
        let faults = self.faults(&mut cluster, &mut injector, &history);
        let ended = history.now();
        injector.undo_all(&mut cluster)?;
        faults?;
        let lost_packets = cluster.site().lost_packets()?;
        let rest = self.rest(&mut cluster, &apis, &history, load);
        let events = history.events().clone();
        let mut report = Report::new(self.seed, ended, self.networks.clone(), &injector.done, &events);
        report.recovered_after_seconds = rest.recovered_after.map(|after| after.as_secs_f64());
        let trial = Trial { done: &injector.done, lasted: ended, lost_packets };
        report.violations = violations(&events, &rest);
        report.violations.extend(trial.shortcomings(&events));
        Ok(report)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Progress goes to standard error, so that JSON stays alone.
    fn say(&self, line: std::fmt::Arguments<'_>) {
        eprintln!("{line}");
    }

    /// Waits for the nodes and places the models that stay.
    fn prepare(&self, cluster: &mut Cluster, apis: &[Api], models: &Models) -> Result<()> {
        let begin = Instant::now();
        let is_there = async |api: &Api| {
            let Some(state) = api.get("/state").await else { return false };
            let having = state["downloads"].as_object().into_iter().flatten();
            having.filter(|(_, list)| list.as_array().is_some_and(|list| list.len() >= models.count())).count() >= NODES
        };
        for api in apis {
            while !self.runtime.block_on(is_there(api)) {
                if self.is_stopped() {
                    bail!("stopped before it began");
                }
                if begin.elapsed() > START {
                    bail!("the nodes did not find each other within {START:?}\n{}", cluster.last_words());
                }
                sleep(LOOK);
            }
        }
        for (model, min_nodes) in [(STEADY, 1), (WIDE, 2)] {
            let placed = self.runtime.block_on(apis[0].place(model, min_nodes));
            ensure!(matches!(placed, crate::cluster::Change::Acked(_)), "{model} cannot be placed: {placed:?}");
            for api in apis {
                let answers = self.runtime.block_on(wait_for_answer(api, model, START));
                ensure!(answers, "{model} does not answer\n{}", cluster.last_words());
            }
        }
        self.say(format_args!("{NODES} nodes serve after {:.1?}; faults begin", begin.elapsed()));
        Ok(())
    }

    fn faults(&self, cluster: &mut Cluster, injector: &mut Injector, history: &History) -> Result<()> {
        let parts = (0..cluster.count()).map(|number| cluster.node(number).parts().to_vec()).collect();
        let means = Means { nodes: cluster.count(), parts, links: cluster.site().has_networks() };
        let mut planned = plan(self.seed, &means, self.length).into_iter().peekable();
        while history.now() < self.length && !self.is_stopped() {
            injector.undo_due(cluster)?;
            if let Some(next) = planned.next_if(|next| next.at <= history.now()) {
                injector.inject(cluster, &next)?;
                let events = history.events();
                let (writes, texts) = (events.writes.len(), events.chats.len());
                drop(events);
                let vain = if injector.done.last().is_some_and(|done| done.took_effect) { "" } else { " (in vain)" };
                self.say(format_args!(
                    "{:7.1} s  {:<28} for {:>3.1} s{vain}   so far {} of {writes} changes acknowledged, {texts} texts",
                    history.now().as_secs_f64(),
                    next.fault.to_string(),
                    next.lasts.as_secs_f64(),
                    history.acked(),
                ));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// The faults are over: waits until it serves, ends the clients, waits until everything is quiet, looks, ends the nodes.
    fn rest(&self, cluster: &mut Cluster, apis: &[Api], history: &Arc<History>, load: Load) -> Rest {
        self.say(format_args!("faults are over; it has to serve within {RECOVERY:?}"));
        let recovered_after = self.runtime.block_on(recover(apis, history));
        let mut rest = Rest { recovered_after, ..Rest::default() };
        rest.complaints.extend(self.runtime.block_on(load.stop()).err());
        self.say(format_args!("clients are done; waiting until nothing changes"));
        match self.runtime.block_on(async { timeout(SETTLE, settle(apis)).await }) {
            Ok((states, open)) => (rest.states, rest.open) = (states, open),
            Err(_) => {
                rest.complaints.push(format!("the nodes were not of one mind and at rest within {SETTLE:?}"));
                (rest.states, rest.open) = self.runtime.block_on(look(apis));
            }
        }
        rest.complaints.extend(cluster.stop().err().map(|error| format!("{error:#}")));
        rest.complaints.extend(logs::complaints(cluster));
        rest
    }
}

/// Until each API has answered and taken a command.
async fn recover(apis: &[Api], history: &Arc<History>) -> Option<Duration> {
    let begin = Instant::now();
    let mut probes = JoinSet::new();
    for (node, api) in apis.iter().cloned().enumerate() {
        let history = history.clone();
        probes.spawn(async move {
            while !serves(&api, &history, node, &probe(node)).await {
                tokio::time::sleep(LOOK).await;
            }
        });
    }
    let all = timeout(RECOVERY * 6, probes.join_all()).await;
    all.is_ok().then(|| begin.elapsed())
}

/// Until all nodes tell the same, everything that is wanted is placed, and nothing is open.
async fn settle(apis: &[Api]) -> (Vec<serde_json::Value>, Vec<u64>) {
    loop {
        let (states, open) = look(apis).await;
        let complete = states.len() == apis.len() && open.len() == apis.len();
        let agreed = states.iter().all(|state| *state == states[0] && unplaced(state).is_empty());
        if complete && agreed && open.iter().all(|open| *open == 0) {
            return (states, open);
        }
        tokio::time::sleep(LOOK * 4).await;
    }
}

async fn look(apis: &[Api]) -> (Vec<serde_json::Value>, Vec<u64>) {
    let (mut states, mut open) = (Vec::new(), Vec::new());
    for api in apis {
        states.extend(api.get("/state").await);
        open.extend(api.open_generations().await);
    }
    (states, open)
}
