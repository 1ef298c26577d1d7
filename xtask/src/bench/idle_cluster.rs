//! What a cluster costs that has nothing to do: several `exo up` on loopback, with TLS between them as everywhere.

use crate::bench::machine::processor;
use crate::cluster::{Api, Cluster, Part, Programs, Shape, Site};
use crate::places::Places;
use crate::report::Table;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// What is read at the beginning and at the end.
const COUNTED: [&str; 4] = [
    "exo_bus_sent_bytes_total",
    "exo_log_record_bytes_total",
    "exo_log_file_bytes_total",
    "exo_log_events_applied_total",
];

/// Nothing here takes as long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is asked whether the cluster is whole.
const LOOK: Duration = Duration::from_millis(200);

/// What is measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdleClusterReport {
    processor: String,
    window_seconds: f64,
    nodes: Vec<NodeReport>,
}

/// Of one node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeReport {
    leads: bool,
    /// Given to TCP on links to the other nodes, TLS included; the headers of TCP and IP, and the few packets by which
    /// nodes find each other, are not in it.
    sent_bytes_per_second: f64,
    /// Records of the log.
    record_bytes_per_hour: f64,
    /// All that was written to the log file.
    file_bytes_per_hour: f64,
    events: u64,
}

/// Starts the nodes, lets them settle, and counts.
pub fn run(places: &Places, nodes: usize, quick: bool) -> Result<IdleClusterReport> {
    let (settle, window) = if quick { (10, 30) } else { (30, 300) };
    let programs = Programs::build(places)?;
    let folder = tempfile::Builder::new().prefix("exo-idle-").tempdir().context("no temporary folder")?;
    let models = folder.path().join("models");
    std::fs::create_dir_all(&models)?;
    let shape = Shape { parts: vec![vec![Part::Up]; nodes] };
    let mut cluster = Cluster::new(Site::loopback(nodes)?, programs, folder.path(), &models, shape)?;
    cluster.start_all()?;
    let apis = cluster.apis()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    wait_until_whole(&mut cluster, &runtime, &apis)?;
    eprintln!("letting {nodes} nodes settle for {settle} s, then measuring for {window} s");
    sleep(Duration::from_secs(settle));
    let (begin, before) = (Instant::now(), read(&runtime, &apis)?);
    sleep(Duration::from_secs(window));
    let (after, seconds) = (read(&runtime, &apis)?, begin.elapsed().as_secs_f64());
    let leader = runtime.block_on(apis[0].get("/cluster")).map(|cluster| cluster["leader"].clone());
    let mut reports = Vec::new();
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        let own = cluster.node(number).id()?;
        let difference: Vec<f64> = before.iter().zip(after).map(|(before, after)| (after - before) as f64).collect();
        reports.push(NodeReport {
            leads: leader.as_ref().and_then(Value::as_str) == Some(own.as_str()),
            sent_bytes_per_second: difference[0] / seconds,
            record_bytes_per_hour: difference[1] * 3600.0 / seconds,
            file_bytes_per_hour: difference[2] * 3600.0 / seconds,
            events: after[3] - before[3],
        });
    }
    cluster.stop()?;
    Ok(IdleClusterReport { processor: processor(), window_seconds: seconds, nodes: reports })
}

/// Every node is in the State and votes, as every api sees it.
fn wait_until_whole(cluster: &mut Cluster, runtime: &Runtime, apis: &[Api]) -> Result<()> {
    let (begin, nodes) = (Instant::now(), cluster.count());
    let whole = |seen: Option<Value>| {
        seen.is_some_and(|seen| seen["voters"].as_array().is_some_and(|voters| voters.len() == nodes.min(5)))
    };
    loop {
        let all = apis.iter().all(|api| whole(runtime.block_on(api.get("/cluster"))));
        let known = apis.iter().all(|api| {
            let ready = runtime.block_on(api.get("/readyz"));
            ready.is_some_and(|ready| ready["nodes"] == nodes)
        });
        if all && known {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            bail!("the nodes do not become one cluster\n{}", cluster.last_words());
        }
        sleep(LOOK);
    }
}

fn read(runtime: &Runtime, apis: &[Api]) -> Result<Vec<Vec<u64>>> {
    apis.iter().map(|api| runtime.block_on(api.metrics(&COUNTED)).context("a node tells no numbers")).collect()
}

impl IdleClusterReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table =
            Table::new(&["node", "sends (< 1000 B/s)", "records (< 41 kB/h)", "log file", "events", "role"]);
        for (number, node) in self.nodes.iter().enumerate() {
            table.row(vec![
                (number + 1).to_string(),
                format!("{:.0} B/s", node.sent_bytes_per_second),
                format!("{:.1} kB/h", node.record_bytes_per_hour / 1e3),
                format!("{:.1} kB/h", node.file_bytes_per_hour / 1e3),
                node.events.to_string(),
                if node.leads { "leads" } else { "follows" }.to_owned(),
            ]);
        }
        let (nodes, seconds) = (self.nodes.len(), self.window_seconds);
        format!(
            "idle cluster: {nodes} × `exo up` on {}, {seconds:.0} s over TLS\n\n{}\n",
            self.processor,
            table.render()
        )
    }
}
