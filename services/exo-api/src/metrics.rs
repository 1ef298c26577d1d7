//! `GET /metrics`: what this node counted, and how it sees the cluster.

use crate::app::App;
use crate::refusals::{refusals, standing};
use exo_node::View;
use exo_telemetry::Metrics;
use exo_types::MasterStanding;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// All of it, as it is now. The master of this node is asked for its part; one that is silent is left out.
pub(crate) async fn metrics(app: &App) -> Metrics {
    let view = app.view();
    let own = app.node.node_id();
    let master = if view.masters.contains(own) { standing(&app.bus, own).await } else { None };
    let mut metrics = Metrics::default();
    tell_generations(&mut metrics, app);
    tell_cluster(&mut metrics, &view);
    tell_links(&mut metrics, app, master.as_ref());
    if let Some(master) = &master {
        tell_master(&mut metrics, master);
    }
    metrics
}

fn tell_generations(metrics: &mut Metrics, app: &App) {
    let counters = &app.streams.counters;
    for (name, help, counter) in [
        ("exo_api_generations_started", "Requests for text that were begun", &counters.started),
        ("exo_api_generations_finished", "Requests for text that ended well", &counters.finished),
        ("exo_api_generations_failed", "Requests for text that ended with an error", &counters.failed),
        ("exo_api_prompt_tokens", "Tokens of prompts", &counters.prompt_tokens),
        (
            "exo_api_cached_tokens",
            "Tokens of prompts that were computed for an earlier request",
            &counters.cached_tokens,
        ),
        ("exo_api_completion_tokens", "Tokens of answers", &counters.completion_tokens),
    ] {
        metrics.counter(name, help, counter.load(Ordering::Relaxed));
    }
    metrics.gauge("exo_api_generations_open", "Requests for text under way", app.streams.count() as u64);
}

fn tell_cluster(metrics: &mut Metrics, view: &View) {
    let state = &view.state;
    let ready = state.instances.values().filter(|instance| state.is_ready(instance)).count();
    let generation = view.session.as_ref().map_or(0, |session| session.generation);
    for (name, help, value) in [
        ("exo_nodes", "Nodes in the State", state.topology.nodes.len() as u64),
        ("exo_instances_ready", "Placed models that answer", ready as u64),
        ("exo_session_generation", "Generation of the session that this node follows", generation),
        ("exo_state_index", "Last event in the State of this node", state.last_event_applied_idx.0),
        ("exo_masters", "Masters of the session that are there", view.masters.len() as u64),
        ("exo_has_leader", "Whether a master leads the session", u64::from(view.leader.is_some())),
    ] {
        metrics.gauge(name, help, value);
    }
}

fn tell_links(metrics: &mut Metrics, app: &App, master: Option<&MasterStanding>) {
    let links = app.bus.links();
    let refused = refusals(&app.bus, master.map(|master| &master.counters));
    let refused = refused
        .into_iter()
        .flat_map(|(part, reasons)| reasons.into_iter().map(move |(reason, count)| ([part.to_owned(), reason], count)));
    metrics.counters("exo_refusals", "What was refused of others", ["part", "reason"], refused);
    let by_node = |bytes: fn(&exo_bus::Traffic) -> u64| {
        let mut nodes: BTreeMap<String, u64> = BTreeMap::new();
        for neighbour in &links.neighbours {
            *nodes.entry(neighbour.node.to_string()).or_default() += bytes(&neighbour.traffic);
        }
        nodes.into_iter().map(|(node, bytes)| ([node], bytes)).collect::<Vec<_>>()
    };
    let process = app.bus.process().to_string();
    metrics.gauges("exo_bus_links", "Links of the process", ["process"], [([process], links.neighbours.len() as u64)]);
    metrics.counter("exo_bus_lost_links", "Links whose other machine stopped answering", links.lost);
    metrics.counter(
        "exo_bus_sent_bytes",
        "Bytes sent over all links since the start, TLS included",
        links.traffic.sent,
    );
    metrics.counter("exo_bus_received_bytes", "Bytes received over all links since the start", links.traffic.received);
    let help = "Bytes sent over the links that there are, TLS included";
    metrics.gauges("exo_bus_link_sent_bytes", help, ["node"], by_node(|traffic| traffic.sent));
    let help = "Bytes received over the links that there are";
    metrics.gauges("exo_bus_link_received_bytes", help, ["node"], by_node(|traffic| traffic.received));
}

fn tell_master(metrics: &mut Metrics, master: &MasterStanding) {
    metrics.gauge("exo_log_voters", "Masters whose majority decides", master.voters.len() as u64);
    metrics.gauge("exo_log_term", "Term of the log of this node", master.term);
    metrics.gauge("exo_log_index", "Last event applied to the log of this node", master.applied.0);
    metrics.gauge("exo_log_fault", "Whether the log of this node takes no part", u64::from(master.fault.is_some()));
    let lag = master.lag.iter().map(|(node, entries)| ([node.to_string()], *entries));
    metrics.gauges("exo_log_lag_entries", "Entries that a master lacks; told by the leader", ["node"], lag);
    let counters = &master.counters;
    metrics.counter("exo_log_events_applied", "Events applied since the log was opened", counters.events);
    metrics.counter("exo_log_record_bytes", "Bytes of records written to the log", counters.record_bytes);
    metrics.counter("exo_log_file_bytes", "Bytes written to the log file in all", counters.file_bytes);
}
