//! How long a cluster of three masters takes no command after its leader was killed, and whether anything else notices.

use crate::bench::machine::processor;
use crate::cluster::{Answer, Api, Change, ChatAsk, Cluster, Part, Programs, Shape, Site};
use crate::places::Places;
use crate::report::{Table, median};
use anyhow::{Context, Result, bail, ensure};
use exo_testkit::ModelSpec;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Nodes with a master each; one more has the worker and the API.
const MASTERS: usize = 3;

/// The node that serves.
const SERVING: usize = MASTERS;

/// Nothing here takes as long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is asked whether all masters are back.
const LOOK: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverReport {
    processor: String,
    kills: usize,
    /// Seconds from the kill until the next command was acknowledged.
    p50_seconds: f64,
    p99_seconds: f64,
    longest_seconds: f64,
    /// Of each kill.
    seconds: Vec<f64>,
    /// Runners that did not live through all of it.
    runner_restarts: usize,
}

/// Kills the leader again and again.
pub fn run(places: &Places, quick: bool) -> Result<FailoverReport> {
    let kills = if quick { 10 } else { 100 };
    let programs = Programs::build(places)?;
    let folder = tempfile::Builder::new().prefix("exo-failover-").tempdir().context("no temporary folder")?;
    let models = folder.path().join("models");
    std::fs::create_dir_all(&models)?;
    ModelSpec::default().write(&models.join("model.gguf")).context("the model cannot be written")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut bench = Bench::start(programs, folder.path(), &models, runtime)?;
    let runners = bench.cluster.node(SERVING).runners();
    let mut seconds = Vec::with_capacity(kills);
    for kill in 1..=kills {
        seconds.push(bench.kill_leader()?);
        eprintln!("kill {kill} of {kills}: {:.3} s", seconds[seconds.len() - 1]);
    }
    let left = bench.cluster.node(SERVING).runners();
    let runner_restarts = runners.iter().filter(|runner| !left.contains(runner)).count();
    bench.check_answer()?;
    bench.cluster.stop()?;
    Ok(FailoverReport::new(seconds, runner_restarts))
}

struct Bench {
    cluster: Cluster,
    api: Api,
    runtime: Runtime,
}

impl Bench {
    fn start(programs: Programs, folder: &Path, models: &Path, runtime: Runtime) -> Result<Self> {
        let mut parts = vec![vec![Part::Master]; MASTERS];
        parts.push(vec![Part::Worker, Part::Api]);
        let mut cluster = Cluster::new(Site::loopback(MASTERS + 1)?, programs, folder, models, Shape::new(parts))?;
        cluster.start_all()?;
        let api = cluster.apis()?.into_iter().next().context("one node has an API")?;
        let mut bench = Self { cluster, api, runtime };
        bench.wait_until("all masters vote", |cluster| voters_in_step(cluster) == MASTERS)?;
        let begin = Instant::now();
        while !matches!(bench.runtime.block_on(bench.api.place("model", 1)), Change::Acked(_)) {
            bench.check_time(begin, "the model is placed")?;
            sleep(LOOK);
        }
        while bench.check_answer().is_err() {
            bench.check_time(begin, "the model answers")?;
            sleep(LOOK);
        }
        Ok(bench)
    }

    fn check_time(&mut self, begin: Instant, what: &str) -> Result<()> {
        if begin.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?} until {what}\n{}", self.cluster.last_words());
        }
        Ok(())
    }

    fn check_answer(&self) -> Result<()> {
        let ask = ChatAsk::new("model", 8, PATIENCE);
        let answer = self.runtime.block_on(self.api.chat(&ask));
        ensure!(answer == Answer::Whole, "the placed model does not answer: {answer:?}");
        Ok(())
    }

    fn wait_until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
        let begin = Instant::now();
        loop {
            let cluster = self.runtime.block_on(self.api.get("/cluster"));
            if cluster.as_ref().is_some_and(&holds) {
                return Ok(());
            }
            self.check_time(begin, &format!("{what}; GET /cluster says {cluster:?}"))?;
            sleep(LOOK);
        }
    }

    /// Kills it, measures until the next acknowledgement, starts it again and waits until it votes and is in step.
    fn kill_leader(&mut self) -> Result<f64> {
        let cluster = self.runtime.block_on(self.api.get("/cluster")).context("the API is gone")?;
        let leader = cluster["leader"].as_str().context("nobody leads")?.to_owned();
        let mut masters = 0..MASTERS;
        let number = masters.find(|number| self.cluster.node(*number).id().is_ok_and(|id| id == leader));
        let number = number.with_context(|| format!("the leader {leader} is none of ours"))?;
        let serving = self.cluster.node(SERVING).id()?;
        let process = self.cluster.node(number).process(Part::Master).context("it was started")?;
        let begin = Instant::now();
        process.kill()?;
        // A change that changes nothing: what is measured is the log.
        while !matches!(self.runtime.block_on(self.api.undrain(&serving)), Change::Acked(_)) {
            self.check_time(begin, "a command is acknowledged")?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        self.cluster.start(number, Part::Master)?;
        self.wait_until("all masters vote again", |cluster| voters_in_step(cluster) == MASTERS)?;
        Ok(seconds)
    }
}

/// Masters that vote, answer and have what the leader has.
fn voters_in_step(cluster: &Value) -> usize {
    let voters: Vec<&Value> = cluster["voters"].as_array().into_iter().flatten().collect();
    let leader_applied = cluster["leaderApplied"].as_u64();
    let in_step = |master: &&Value| {
        voters.contains(&&master["nodeId"])
            && matches!(master["role"].as_str(), Some("leader" | "follower"))
            && leader_applied.is_some()
            && master["applied"].as_u64() >= leader_applied
    };
    cluster["masters"].as_array().into_iter().flatten().filter(in_step).count()
}

impl FailoverReport {
    fn new(seconds: Vec<f64>, runner_restarts: usize) -> Self {
        let mut sorted = seconds.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            processor: processor(),
            kills: seconds.len(),
            p50_seconds: median(&seconds),
            p99_seconds: percentile(&sorted, 99),
            longest_seconds: sorted.last().copied().unwrap_or(f64::NAN),
            seconds,
            runner_restarts,
        }
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["failover", "measured", "promised"]);
        let seconds = |value: f64| format!("{:.0} ms", value * 1000.0);
        for (what, measured, promised) in [
            ("next acknowledgement, p50", seconds(self.p50_seconds), "≤ 300 ms"),
            ("p99", seconds(self.p99_seconds), "≤ 1000 ms"),
            ("longest", seconds(self.longest_seconds), ""),
            ("runner restarts", self.runner_restarts.to_string(), "0"),
        ] {
            table.row(vec![what.to_owned(), measured, promised.to_owned()]);
        }
        let (kills, processor) = (self.kills, &self.processor);
        format!(
            "failover: the leader of three masters on loopback killed {kills} times, on {processor}\n\n{}\n",
            table.render()
        )
    }
}

/// The smallest value that so many of a hundred do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let check = |count: usize, expect: f64| assert!((percentile(&values[..count], 99) - expect).abs() < 1e-9);
        check(100, 99.0);
        check(10, 10.0);
        check(1, 1.0);
        assert!(percentile(&[], 99).is_nan());
    }

    #[test]
    fn a_master_is_in_step_when_it_votes_and_has_what_the_leader_has() {
        let master = |node: &str, role: &str, applied: u64| json!({ "nodeId": node, "role": role, "applied": applied });
        let masters = json!([master("a", "leader", 9), master("b", "follower", 9), master("c", "follower", 8)]);
        let cluster = |voters: Value| json!({ "voters": voters, "leaderApplied": 9, "masters": masters });
        assert_eq!(voters_in_step(&cluster(json!(["a", "b", "c"]))), 2);
        assert_eq!(voters_in_step(&cluster(json!(["a"]))), 1);
        assert_eq!(voters_in_step(&json!({})), 0);
    }
}
