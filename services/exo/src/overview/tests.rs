use super::*;
use exo_types::{Event, IndexedEvent};
use serde_json::json;

const ATLAS: &str = "0193c0de-node-of-atlas";

fn state(events: serde_json::Value) -> State {
    let mut state = State::default();
    let info = json!({ "friendlyName": "atlas", "version": "0.1.0", "addresses": ["10.0.0.7"] });
    let mut all = vec![json!({ "NodeGatheredInfo": { "nodeId": ATLAS, "info": info } })];
    all.extend(events.as_array().cloned().unwrap_or_default());
    for (idx, event) in (1..).zip(all) {
        let event: Event = serde_json::from_value(event).expect("an event");
        exo_state::apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
    }
    state
}

#[test]
fn the_overview_names_nodes_and_says_how_to_place_a_model() {
    let text = overview(&state(json!([])));
    assert!(text.contains("atlas  node-of-atlas") || text.contains("atlas  ode-of-atlas"), "{text}");
    assert!(text.contains("10.0.0.7") && text.contains("exo place MODEL"), "{text}");
    assert!(!text.contains("drained") && !text.contains("Wanted"), "{text}");
}

#[test]
fn drained_nodes_and_open_wishes_are_shown() {
    let place = json!({ "modelId": "exo-guide", "minNodes": 2 });
    let text = overview(&state(json!([
        { "NodeDrained": { "nodeId": ATLAS, "drained": true } },
        { "IntentRecorded": { "intent": { "id": "wish", "place": place } } },
    ])));
    assert!(text.contains("drained"), "{text}");
    assert!(text.contains("Wanted, and placed as soon as it fits: 1") && text.contains("exo-guide"), "{text}");
}

#[test]
fn the_masters_are_shown_with_who_leads_and_who_is_behind() {
    let report = json!({
        "session": { "generation": 3, "masterNodeId": ATLAS }, "leader": ATLAS, "term": 7,
        "voters": [ATLAS, "b", "c"], "applied": 40, "leaderApplied": 42,
        "masters": [
            { "nodeId": ATLAS, "reachable": true, "role": "leader", "term": 7, "applied": 42, "lag": null },
            { "nodeId": "b", "reachable": true, "role": "follower", "term": 7, "applied": 41, "lag": 1 },
            { "nodeId": "c", "reachable": false, "role": null, "term": null, "applied": null, "lag": 9 },
        ],
    });
    let report: ClusterReport = serde_json::from_value(report).expect("a report");
    let text = report.render(&state(json!([])));
    for part in [
        "Session: 3, opened by atlas",
        "Leader: atlas, term 7",
        "event 42, this node is 2 behind, 2 of 3 voters are there, 0 may fail",
        "leader",
        "silent",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let lost = ClusterReport { leader: None, masters: Vec::new(), ..report };
    let text = lost.render(&state(json!([])));
    assert!(text.contains("Leader: none") && text.contains("0 of 3 voters are there, 2 are needed"), "{text}");
    assert!(ClusterReport::default().render(&State::default()).contains("not found the cluster"));
}

#[test]
fn what_was_refused_and_found_is_shown_and_so_is_what_to_do() {
    let report = json!({
        "session": { "generation": 1, "masterNodeId": ATLAS },
        "masters": [{ "nodeId": ATLAS, "reachable": true, "fault": "the disk is full" }],
        "refusals": { "bus": { "expired": 2, "garbage": 1 }, "log": {} },
        "otherClusters": { "found": [{ "cluster": "c0ffee", "address": "10.0.0.9" }], "isAlone": false, "remedy": null },
    });
    let mut report: ClusterReport = serde_json::from_value(report).expect("a report");
    let text = report.render(&state(json!([])));
    for part in
        ["Refused: expired 2, garbage 1 (bus)\n", "Other clusters: c0ffee at 10.0.0.9", "atlas: the disk is full"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    report.other_clusters.remedy = Some("found a cluster; join it".to_owned());
    assert!(report.render(&state(json!([]))).contains("Attention: found a cluster; join it"));
    report.session = None;
    assert!(report.render(&state(json!([]))).contains("Attention: found a cluster; join it"), "also before it joined");
}

#[test]
fn short_ids_keep_their_end() {
    assert_eq!((short("abc"), short("0123456789abcdef")), ("abc", "456789abcdef"));
}
