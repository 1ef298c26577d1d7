//! Cases recorded from EXO's worker plan, as far as this design keeps them.
//!
//! Translated: a runner here loads first and connects then, so that "connect" there is "load" here and the other way round;
//! its process is gone when it failed, so that there is nothing to shut down. With the opposite expectation: plan-07 (a
//! failed peer made EXO end the runner; here it keeps its weights), plan-32 (a missing status ended EXO's worker). Left
//! out: 08 to 11 (nothing is placed where the file is not), 17 and 20 to 23 (connecting after loading leaves no warming
//! up), 24, 25, 29 to 31 (requests go over streams and not through the State).

use exo_plan::{Action, Backoff, LocalNode, LocalRunner, plan};
use exo_state::{State, apply};
use exo_types::{Event, EventIndex, IndexedEvent, NodeId, RunnerId, RunnerStatus};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

fn runner(rank: usize) -> RunnerId {
    RunnerId::new(format!("r{rank}")).expect("a good id")
}

fn status(name: &str, rank: usize) -> RunnerStatus {
    let endpoint = json!({"tensorEndpoint": format!("x:{rank}"), "incarnation": 1});
    let value = match name {
        "Failed" => json!({"RunnerFailed": {"failure": {"errorMessage": "lost", "attempt": 1, "retry": true}}}),
        "Loading" => json!({"RunnerLoading": {"layersLoaded": 1, "totalLayers": 2}}),
        "Loaded" => json!({ "RunnerLoaded": endpoint }),
        "Connecting" => json!({ "RunnerConnecting": endpoint }),
        other => panic!("no status for {other}"),
    };
    serde_json::from_value(value).expect("a status")
}

fn info() -> Value {
    json!({"friendlyName": "x", "version": "0"})
}

fn created(ranks: &[&str]) -> Value {
    let world = ranks.len();
    let card = json!({"modelId": "m", "architecture": "llama", "quantization": "Q8_0", "nLayers": 2, "hiddenSize": 8,
        "contextLength": 16, "kvBytesPerToken": 4, "layerSize": {"inBytes": 1}, "storageSize": {"inBytes": 4}});
    let shard = |rank: usize| {
        let end = if rank + 1 == world { 2 } else { rank + 1 };
        json!({"deviceRank": rank, "worldSize": world, "startLayer": rank, "endLayer": end, "nLayers": 2})
    };
    let shards: BTreeMap<_, _> = (0..world).map(|rank| (runner(rank), shard(rank))).collect();
    let nodes: BTreeMap<_, _> = ranks.iter().enumerate().map(|(rank, node)| (node, runner(rank))).collect();
    let assignments = json!({"modelCard": card, "runnerToShard": shards, "nodeToRunner": nodes});
    json!({"InstanceCreated": {"instance": {"instanceId": "i", "sharding": "Pipeline", "contextLength": 16,
        "maxSequences": 1, "shardAssignments": assignments}}})
}

fn state(case: &Value, ranks: &[&str]) -> State {
    let session = json!({"generation": 1, "masterNodeId": "m"});
    let mut events = vec![json!({"SessionOpened": {"session": session, "when": 0}})];
    for node in ["a", "b"] {
        events.push(json!({"NodeGatheredInfo": {"nodeId": node, "info": info()}}));
        let resources = json!({"ramTotal": {"inBytes": 64}, "ramAvailable": {"inBytes": 64}});
        events.push(json!({"NodeResourcesChanged": {"nodeId": node, "resources": resources}}));
    }
    events.push(created(ranks));
    for (rank, told) in case["cluster"].as_array().expect("a list").iter().enumerate() {
        if let Some(name) = told.as_str() {
            events.push(json!({"RunnerStatusUpdated": {"runnerId": runner(rank), "runnerStatus": status(name, rank)}}));
        }
    }
    let mut state = State::default();
    for (idx, event) in (1..).zip(events) {
        let event: Event = serde_json::from_value(event).expect("an event");
        apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
    }
    state
}

fn local(case: &Value, ranks: &[&str], now: Instant) -> LocalNode {
    let node = case["node"].as_str().expect("a node");
    let own = case["own"].as_str().map(|name| {
        let rank = ranks.iter().position(|of| *of == node).expect("it has a rank");
        let instance_id = "i".parse().expect("a good id");
        let status = status(name, rank);
        (runner(rank), LocalRunner { instance_id, status, since: now, told_to_connect: None })
    });
    LocalNode {
        node_id: NodeId::new(node).expect("a good id"),
        info: serde_json::from_value(info()).expect("an info"),
        resources: serde_json::from_value(json!({"ramTotal": {"inBytes": 64}, "ramAvailable": {"inBytes": 64}}))
            .expect("resources"),
        hardware: None,
        downloads: Vec::new(),
        connections: BTreeSet::new(),
        runners: own.into_iter().collect(),
    }
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::StartRunner { .. } => "start",
        Action::ConnectRunner { .. } => "connect",
        Action::StopRunner { .. } => "stop",
        Action::Report(_) => "report",
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
fn the_plan_agrees_with_exo_where_the_design_does() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/exo-plan.json")).expect("cases");
    let failed = Instant::now();
    let backoff = Backoff::default();
    // After the first failure's back-off.
    let now = failed + backoff.after(1) + Duration::from_millis(1);
    for case in cases {
        let ranks: Vec<&str> = case["ranks"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let planned = plan(&state(&case, &ranks), &local(&case, &ranks, failed), &backoff, now);
        let expect: Vec<&str> = case["expect"].as_str().into_iter().collect();
        let actions: Vec<&str> = planned.actions.iter().map(name).collect();
        assert_eq!(actions, expect, "{}: {}", case["id"], case["title"]);
    }
}
