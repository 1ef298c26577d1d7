//! What a cluster costs that has nothing to do: several nodes, with TLS between them as everywhere, once with one process
//! each (`exo up`) and once with a process for each service.
//!
//! As root each node has a network of its own, and what it sends is counted by its interface: with the headers of TCP, IP
//! and Ethernet, and with acknowledgements. The few packets by which nodes find each other are not in it: these nodes
//! know each other's addresses.

use crate::bench::machine::processor;
use crate::cluster::{Api, Cluster, Part, Programs, Sent, Shape, Site};
use crate::places::Places;
use crate::report::Table;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// What is read of an api at the beginning and at the end.
const COUNTED: [&str; 4] = [
    "exo_log_record_bytes_total",
    "exo_log_file_bytes_total",
    "exo_log_events_applied_total",
    "exo_bus_sent_bytes_total",
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
    /// Why nothing is known of the interfaces, if that is so.
    no_interfaces: Option<&'static str>,
    /// Nodes with one process.
    up: Vec<NodeReport>,
    /// Nodes with a process for each service.
    services: Vec<NodeReport>,
}

/// Of one node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeReport {
    leads: bool,
    /// To other nodes, as its interface counts it.
    sent_bytes_per_second: Option<f64>,
    /// Between its own processes, as the kernel counts it.
    inside_bytes_per_second: Option<f64>,
    /// Given to TCP by the process of the api, TLS included: all of it where the node is one process.
    bus_bytes_per_second: f64,
    /// Records of the log.
    record_bytes_per_hour: f64,
    /// All that was written to the log file.
    file_bytes_per_hour: f64,
    events: u64,
}

/// Starts the nodes, lets them settle, and counts; twice.
pub fn run(places: &Places, nodes: usize, quick: bool) -> Result<IdleClusterReport> {
    let (settle, window) = if quick { (10, 30) } else { (30, 300) };
    let no_interfaces = Site::why_no_namespaces();
    let measure = |parts: &[Part]| -> Result<Vec<NodeReport>> {
        let programs = Programs::build(places)?;
        let site = if no_interfaces.is_none() { Site::namespaces(nodes)? } else { Site::loopback(nodes)? };
        let folder = tempfile::Builder::new().prefix("exo-idle-").tempdir().context("no temporary folder")?;
        let bench = Bench::start(site, programs, folder.path(), vec![parts.to_vec(); nodes])?;
        let names = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        eprintln!("{nodes} nodes ({names}): letting them settle for {settle} s, then measuring for {window} s");
        sleep(Duration::from_secs(settle));
        bench.measure(Duration::from_secs(window))
    };
    let up = measure(&[Part::Up])?;
    let services = measure(&Part::SERVICES)?;
    Ok(IdleClusterReport { processor: processor(), window_seconds: window as f64, no_interfaces, up, services })
}

struct Bench {
    cluster: Cluster,
    apis: Vec<Api>,
    runtime: Runtime,
}

/// What one node has counted until now.
struct Reading {
    counted: Vec<u64>,
    sent: Option<Sent>,
}

impl Bench {
    fn start(site: Site, programs: Programs, folder: &Path, parts: Vec<Vec<Part>>) -> Result<Self> {
        let models = folder.join("models");
        std::fs::create_dir_all(&models)?;
        let mut cluster = Cluster::new(site, programs, folder, &models, Shape::new(parts))?;
        cluster.start_all()?;
        let apis = cluster.apis()?;
        // Its thread is in the network of the site, which this one is in by now.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut bench = Self { cluster, apis, runtime };
        bench.wait_until_whole()?;
        Ok(bench)
    }

    /// Every node is in the State and votes, as every api sees it.
    fn wait_until_whole(&mut self) -> Result<()> {
        let (begin, nodes) = (Instant::now(), self.cluster.count());
        let whole = |seen: Option<Value>| {
            seen.is_some_and(|seen| seen["voters"].as_array().is_some_and(|voters| voters.len() == nodes.min(5)))
        };
        loop {
            let all = self.apis.iter().all(|api| whole(self.runtime.block_on(api.get("/cluster"))));
            let known = self.apis.iter().all(|api| {
                let ready = self.runtime.block_on(api.get("/readyz"));
                ready.is_some_and(|ready| ready["nodes"] == nodes)
            });
            if all && known {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                bail!("the nodes do not become one cluster\n{}", self.cluster.last_words());
            }
            sleep(LOOK);
        }
    }

    fn measure(mut self, window: Duration) -> Result<Vec<NodeReport>> {
        // What is asked of the apis is traffic too, and outside of the window.
        let counted = self.counted()?;
        let before = self.readings(counted)?;
        let begin = Instant::now();
        sleep(window);
        let sent = self.sent()?;
        let seconds = begin.elapsed().as_secs_f64();
        let counted = self.counted()?;
        let after: Vec<Reading> =
            counted.into_iter().zip(sent).map(|(counted, sent)| Reading { counted, sent }).collect();
        let leader = self.runtime.block_on(self.apis[0].get("/cluster")).map(|cluster| cluster["leader"].clone());
        let mut reports = Vec::new();
        for (number, (before, after)) in before.iter().zip(&after).enumerate() {
            let own = self.cluster.node(number).id()?;
            let leads = leader.as_ref().and_then(Value::as_str) == Some(own.as_str());
            reports.push(NodeReport::between(before, after, seconds, leads));
        }
        self.cluster.stop()?;
        Ok(reports)
    }

    fn readings(&mut self, counted: Vec<Vec<u64>>) -> Result<Vec<Reading>> {
        let sent = self.sent()?;
        Ok(counted.into_iter().zip(sent).map(|(counted, sent)| Reading { counted, sent }).collect())
    }

    fn counted(&self) -> Result<Vec<Vec<u64>>> {
        let read = |api: &Api| self.runtime.block_on(api.metrics(&COUNTED)).context("a node tells no numbers");
        self.apis.iter().map(read).collect()
    }

    fn sent(&mut self) -> Result<Vec<Option<Sent>>> {
        (0..self.cluster.count()).map(|number| self.cluster.site().sent(number)).collect()
    }
}

impl NodeReport {
    fn between(before: &Reading, after: &Reading, seconds: f64, leads: bool) -> Self {
        let counted = |at: usize| after.counted[at].saturating_sub(before.counted[at]);
        let sent = |of: fn(&Sent) -> u64| {
            let (before, after) = (before.sent.as_ref().map(of)?, after.sent.as_ref().map(of)?);
            Some(after.saturating_sub(before) as f64 / seconds)
        };
        Self {
            leads,
            sent_bytes_per_second: sent(|sent| sent.outside),
            inside_bytes_per_second: sent(|sent| sent.inside),
            bus_bytes_per_second: counted(3) as f64 / seconds,
            record_bytes_per_hour: counted(0) as f64 * 3600.0 / seconds,
            file_bytes_per_hour: counted(1) as f64 * 3600.0 / seconds,
            events: counted(2),
        }
    }
}

impl IdleClusterReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&[
            "node",
            "sends (< 1000 B/s)",
            "inside",
            "TLS of the api's process",
            "records (< 41 kB/h)",
            "log file",
            "events",
            "role",
        ]);
        let nodes = [("up", &self.up), ("services", &self.services)];
        for (shape, (number, node)) in
            nodes.iter().flat_map(|(shape, nodes)| nodes.iter().enumerate().map(move |node| (shape, node)))
        {
            let rate = |rate: Option<f64>| rate.map_or_else(|| "?".to_owned(), |rate| format!("{rate:.0} B/s"));
            table.row(vec![
                format!("{shape} {}", number + 1),
                rate(node.sent_bytes_per_second),
                rate(node.inside_bytes_per_second),
                rate(Some(node.bus_bytes_per_second)),
                format!("{:.1} kB/h", node.record_bytes_per_hour / 1e3),
                format!("{:.1} kB/h", node.file_bytes_per_hour / 1e3),
                node.events.to_string(),
                if node.leads { "leads" } else { "follows" }.to_owned(),
            ]);
        }
        let (nodes, seconds) = (self.up.len(), self.window_seconds);
        let interfaces = match self.no_interfaces {
            None => String::new(),
            Some(reason) => format!("\nwhat the interfaces sent is not known: {reason}\n"),
        };
        format!(
            "idle cluster: {nodes} nodes on {}, {seconds:.0} s over TLS, headers included; `exo up`, then a process for each \
             service\n\n{}\n{interfaces}",
            self.processor,
            table.render()
        )
    }
}
