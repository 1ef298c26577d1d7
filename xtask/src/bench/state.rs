//! The fold: what an event costs in a State of 256 nodes, and what the State takes after a million of them.

mod joining;

use crate::bench::machine::processor;
use crate::report::{Table, median};
use anyhow::{Context, Result};
use exo_state::{State, apply};
use exo_types::{
    Connection, CpuInfo, DownloadProgress, Event, EventIndex, FactId, IndexedEvent, Instance, InstanceId, Memory,
    Millis, ModelCard, ModelId, NodeDownload, NodeId, NodeInfo, NodeResources, OriginEpoch, OriginSequence, RunnerId,
    RunnerStatus, SessionId, Shard, ShardAssignments, Sharding, Task, TaskId, TaskStatus, TensorShare,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

/// Nodes of the State, each of which reaches each other one.
const NODES: usize = 256;

/// Events that are timed together, so that the clock does not count.
const CHUNK: usize = 1000;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateReport {
    processor: String,
    nodes: usize,
    events: usize,
    /// Nanoseconds of one event, of the mean of a thousand; half of them take less.
    apply_ns_p50: f64,
    /// The same, the slowest thousand.
    apply_ns_worst: f64,
    /// Resident memory that came with the State.
    state_bytes: u64,
    /// Milliseconds of a copy of the State.
    copy_ms: f64,
    /// Seconds until a node that joins over loopback has it, half of the tries.
    join_seconds_p50: f64,
    /// The same, the slowest try.
    join_seconds_worst: f64,
}

/// How often a node joins.
const JOINS: usize = 5;

/// Measures.
pub fn run(quick: bool) -> Result<StateReport> {
    let events = if quick { 100_000 } else { 1_000_000 };
    let before = resident_bytes()?;
    let session = SessionId { generation: 1, master_node_id: node(0)? };
    let mut fold = Fold::default();
    fold.step(None, Event::SessionOpened { session: session.clone(), when: Millis(1) });
    for event in birth()? {
        fold.step(None, event);
    }
    let mut times = Vec::new();
    let mut round = 0;
    while fold.state.last_event_applied_idx.0 < events as u64 {
        let chunk = everyday(&mut round)?;
        let indexed = fold.number(chunk);
        let begin = Instant::now();
        for event in &indexed {
            black_box(apply(&mut fold.state, event));
        }
        times.push(begin.elapsed().as_nanos() as f64 / indexed.len() as f64);
    }
    let begin = Instant::now();
    let copy = black_box(fold.state.clone());
    let copy_ms = begin.elapsed().as_secs_f64() * 1e3;
    drop(copy);
    let state_bytes = size_of_state(&fold.state, before)?;
    let state = fold.state;
    let joins: Result<Vec<f64>> = (0..JOINS).map(|_| joining::seconds_to_join(&session, state.clone())).collect();
    let joins = joins?;
    times.sort_by(f64::total_cmp);
    Ok(StateReport {
        processor: processor(),
        nodes: NODES,
        events,
        apply_ns_p50: median(&times),
        apply_ns_worst: times.last().copied().unwrap_or(f64::NAN),
        state_bytes,
        copy_ms,
        join_seconds_p50: median(&joins),
        join_seconds_worst: joins.iter().copied().fold(f64::NAN, f64::max),
    })
}

/// Memory that the process has with nothing but the State: what is freed before stays with the allocator, so this is
/// an upper bound.
fn size_of_state(state: &State, before: u64) -> Result<u64> {
    let with = resident_bytes()?;
    black_box(state);
    Ok(with.saturating_sub(before))
}

fn resident_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).context("no resident size")?.parse()?;
    Ok(pages * 4096)
}

#[derive(Default)]
struct Fold {
    state: State,
    sequences: BTreeMap<NodeId, u64>,
    numbered: u64,
}

impl Fold {
    fn step(&mut self, origin: Option<FactId>, event: Event) {
        self.numbered += 1;
        apply(&mut self.state, &IndexedEvent { idx: EventIndex(self.numbered), origin, event });
    }

    /// Gives the events their indices, and to facts the origin of their node.
    fn number(&mut self, events: Vec<(Option<NodeId>, Event)>) -> Vec<IndexedEvent> {
        let indexed = events.into_iter().map(|(origin, event)| {
            self.numbered += 1;
            let origin = origin.map(|node_id| {
                let sequence = self.sequences.entry(node_id.clone()).or_default();
                *sequence += 1;
                FactId { node_id, epoch: OriginEpoch(1), sequence: OriginSequence(*sequence) }
            });
            IndexedEvent { idx: EventIndex(self.numbered), origin, event }
        });
        indexed.collect()
    }
}

fn node(number: usize) -> Result<NodeId> {
    Ok(NodeId::new(format!("node-{number:04}-of-the-cluster"))?)
}

fn card() -> Result<ModelCard> {
    Ok(ModelCard {
        model_id: ModelId::new("org/a-model-of-usual-size")?,
        name: "A model of usual size".to_owned(),
        architecture: "llama".to_owned(),
        quantization: "Q4_K".to_owned(),
        n_layers: 32,
        hidden_size: 4096,
        heads: 32,
        kv_heads: 8,
        context_length: 8192,
        kv_bytes_per_token: 131_072,
        layer_size: Memory::mib(120),
        storage_size: Memory::mib(4200),
    })
}

/// Nodes, the ways between all of them, a model on each, and an instance for each two.
fn birth() -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for number in 0..NODES {
        let node_id = node(number)?;
        let info = NodeInfo {
            friendly_name: format!("host-{number}"),
            version: "0.1.0".to_owned(),
            os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            cpu: CpuInfo {
                model: "A processor".to_owned(),
                physical_cores: 16,
                logical_cores: 32,
                isa: "avx2".to_owned(),
            },
            addresses: vec![address(number)],
            api_port: Some(52415),
        };
        events.push(Event::NodeGatheredInfo { node_id: node_id.clone(), info });
        let progress = DownloadProgress::DownloadCompleted { total: Memory::mib(4200) };
        let download = NodeDownload { node_id, model_card: card()?, progress };
        events.push(Event::NodeDownloadProgress { download });
    }
    for (source, sink) in (0..NODES).flat_map(|source| (0..NODES).map(move |sink| (source, sink))) {
        if source != sink {
            events.push(Event::TopologyEdgeCreated { connection: way(source, sink)? });
        }
    }
    for pair in 0..NODES / 2 {
        events.push(Event::InstanceCreated { instance: instance(&format!("instance-{pair}"), pair)? });
    }
    Ok(events)
}

fn address(number: usize) -> String {
    format!("10.0.{}.{}", number / 250, number % 250)
}

fn way(source: usize, sink: usize) -> Result<Connection> {
    Ok(Connection { source: node(source)?, sink: node(sink)?, sink_address: address(sink) })
}

fn instance(name: &str, pair: usize) -> Result<Instance> {
    let mut shard_assignments =
        ShardAssignments { model_card: card()?, runner_to_shard: BTreeMap::new(), node_to_runner: BTreeMap::new() };
    for rank in 0..2_u32 {
        let id = RunnerId::new(format!("{name}-runner-{rank}"))?;
        let shard = Shard {
            device_rank: rank,
            world_size: 2,
            start_layer: rank * 16,
            end_layer: rank * 16 + 16,
            n_layers: 32,
            tensor: TensorShare::WHOLE,
        };
        shard_assignments.runner_to_shard.insert(id.clone(), shard);
        shard_assignments.node_to_runner.insert(node(pair * 2 + rank as usize)?, id);
    }
    Ok(Instance {
        instance_id: InstanceId::new(name)?,
        sharding: Sharding::Pipeline,
        shard_assignments,
        context_length: 8192,
        max_sequences: 8,
        intent: None,
    })
}

/// A thousand events as they come: mostly what nodes have left, then runners, ways, models, instances and tasks.
fn everyday(round: &mut usize) -> Result<Vec<(Option<NodeId>, Event)>> {
    let mut events = Vec::with_capacity(CHUNK);
    while events.len() < CHUNK {
        *round += 1;
        let at = *round % NODES;
        let origin = Some(node(at)?);
        let event = match *round % 10 {
            0..=4 => {
                let ram_available = Memory::mib((*round % 60_000) as u64);
                let resources = NodeResources { ram_total: Memory::mib(65_536), ram_available };
                Event::NodeResourcesChanged { node_id: node(at)?, resources }
            }
            5 | 6 => {
                let runner_id = RunnerId::new(format!("instance-{}-runner-{}", at / 2, at % 2))?;
                let runner_status = RunnerStatus::RunnerReady { incarnation: *round as u64 };
                Event::RunnerStatusUpdated { runner_id, runner_status }
            }
            7 => {
                let connection = way(at, (at + 1) % NODES)?;
                events.push((origin.clone(), Event::TopologyEdgeDeleted { connection: connection.clone() }));
                Event::TopologyEdgeCreated { connection }
            }
            8 => {
                let downloaded = Memory::mib((*round % 4200) as u64);
                let progress = DownloadProgress::DownloadOngoing { total: Memory::mib(4200), downloaded };
                let download = NodeDownload { node_id: node(at)?, model_card: card()?, progress };
                Event::NodeDownloadProgress { download }
            }
            _ => {
                events.extend(life_of_an_instance(*round, at)?);
                continue;
            }
        };
        events.push((origin, event));
    }
    Ok(events)
}

fn life_of_an_instance(round: usize, at: usize) -> Result<Vec<(Option<NodeId>, Event)>> {
    let name = format!("passing-{round}");
    let (instance_id, task_id) = (InstanceId::new(name.as_str())?, TaskId::new(name.as_str())?);
    let task_status = TaskStatus::Pending;
    let task = Task { task_id: task_id.clone(), instance_id: instance_id.clone(), task_status, error_message: None };
    let events = [
        Event::InstanceCreated { instance: instance(&name, at / 2)? },
        Event::TaskCreated { task },
        Event::TaskStatusUpdated { task_id: task_id.clone(), task_status: TaskStatus::Complete },
        Event::InstanceDeleted { instance_id },
        Event::TaskDeleted { task_id },
    ];
    Ok(events.into_iter().map(|event| (None, event)).collect())
}

impl StateReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["state", "measured", "promised"]);
        let rows = [
            ("apply, one event", format!("{:.2} µs", self.apply_ns_p50 / 1e3), "≤ 5 µs"),
            ("  the slowest thousand", format!("{:.2} µs", self.apply_ns_worst / 1e3), ""),
            ("memory of the State", format!("{:.1} MB", self.state_bytes as f64 / 1e6), "≤ 64 MB"),
            ("a copy of the State", format!("{:.1} ms", self.copy_ms), ""),
            ("a joining node is current after", format!("{:.3} s", self.join_seconds_p50), "≤ 1 s"),
            ("  the slowest of them", format!("{:.3} s", self.join_seconds_worst), ""),
        ];
        for (what, measured, promised) in rows {
            table.row(vec![what.to_owned(), measured, promised.to_owned()]);
        }
        let (nodes, events) = (self.nodes, self.events);
        format!(
            "state: {nodes} nodes, all linked, after {events} events, on {}\n\n{}\n",
            self.processor,
            table.render()
        )
    }
}
