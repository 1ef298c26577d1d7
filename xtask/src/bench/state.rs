//! The fold: what an event costs in a State of 256 nodes, and what the State takes after a million of them.

mod everyday;
mod joining;
mod population;

use crate::bench::machine::processor;
use crate::report::{Table, median};
use anyhow::{Context, Result};
use exo_state::{State, apply};
use exo_types::{Event, EventIndex, FactId, IndexedEvent, Millis, NodeId, OriginEpoch, OriginSequence, SessionId};
use population::node;
use serde::Serialize;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

/// Nodes of the State, each of which reaches each other one.
const NODES: usize = 256;

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
    /// The same with a second one: what a process holds while somebody reads the State before the last event.
    with_copy_bytes: u64,
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
    for event in population::birth()? {
        fold.step(None, event);
    }
    let mut times = Vec::new();
    let mut round = 0;
    while fold.state.last_event_applied_idx.0 < events as u64 {
        let chunk = everyday::thousand(&mut round)?;
        let indexed = fold.number(chunk);
        let begin = Instant::now();
        for event in &indexed {
            black_box(apply(&mut fold.state, event));
        }
        times.push(begin.elapsed().as_nanos() as f64 / indexed.len() as f64);
    }
    let state_bytes = size_of_state(&fold.state, before)?;
    let begin = Instant::now();
    let copy = black_box(fold.state.clone());
    let copy_ms = begin.elapsed().as_secs_f64() * 1e3;
    let with_copy_bytes = size_of_state(&copy, before)?;
    drop(copy);
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
        with_copy_bytes,
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
    sequences: BTreeMap<(NodeId, u64), u64>,
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
                // Eight lives of its processes, as many as are remembered.
                let epoch = self.numbered % 8;
                let sequence = self.sequences.entry((node_id.clone(), epoch)).or_default();
                *sequence += 1;
                FactId { node_id, epoch: OriginEpoch(epoch), sequence: OriginSequence(*sequence) }
            });
            IndexedEvent { idx: EventIndex(self.numbered), origin, event }
        });
        indexed.collect()
    }
}

impl StateReport {
    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["state", "measured", "promised"]);
        let rows = [
            ("apply, one event", format!("{:.2} µs", self.apply_ns_p50 / 1e3), "≤ 5 µs"),
            ("  the slowest thousand", format!("{:.2} µs", self.apply_ns_worst / 1e3), ""),
            ("memory of the State", format!("{:.1} MB", self.state_bytes as f64 / 1e6), "≤ 64 MB"),
            ("  and of a copy beside it", format!("{:.1} MB", self.with_copy_bytes as f64 / 1e6), ""),
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
