//! Whether what clients saw is what was promised. Pure.

use crate::chaos::history::{Chat, Deed, Events, Outage, Outcome, Span, Write};
use crate::cluster::{Answer, REQUEST_DEADLINE, name_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The cluster serves again so soon after the last fault.
pub const RECOVERY: Duration = Duration::from_secs(10);

/// What a busy machine may add to a deadline before this calls it broken.
const SLACK: Duration = Duration::from_secs(5);

/// How long after its start an API that was killed may be unreachable.
const START: Duration = Duration::from_secs(5);

/// What was found when everything had come to rest.
#[derive(Debug, Default)]
pub struct Rest {
    /// From the end of the last fault until every API took a command and answered; none if that did not happen.
    pub recovered_after: Option<Duration>,
    /// State as each node's API tells it.
    pub states: Vec<Value>,
    /// Requests that each node's API has not ended.
    pub open: Vec<u64>,
    /// Everything else that went wrong, in words.
    pub complaints: Vec<String>,
}

/// Everything that broke a promise, in words.
pub fn violations(events: &Events, rest: &Rest) -> Vec<String> {
    let mut found = rest.complaints.clone();
    found.extend(events.disagreements.iter().map(|text| format!("two States: {text}")));
    check_recovery(rest, &mut found);
    check_agreement(rest, &mut found);
    check_open(rest, &mut found);
    match rest.states.first() {
        Some(state) => {
            check_writes(&events.writes, state, &mut found);
            found.extend(unplaced(state));
        }
        None => found.push("no api told its State at the end".to_owned()),
    }
    found.extend(events.chats.iter().filter_map(|chat| fault_of(chat, &events.outages)));
    found
}

fn check_recovery(rest: &Rest, found: &mut Vec<String>) {
    match rest.recovered_after {
        Some(after) if after <= RECOVERY => {}
        Some(after) => found.push(format!("served again only {after:.1?} after the faults, promised {RECOVERY:?}")),
        None => found.push("did not serve again after the faults".to_owned()),
    }
}

fn check_agreement(rest: &Rest, found: &mut Vec<String>) {
    let Some((first, others)) = rest.states.split_first() else { return };
    for (number, other) in (1..).zip(others) {
        if other != first {
            let places = differences(first, other);
            found.push(format!("{} and {} disagree about {places}", name_of(0), name_of(number)));
        }
    }
}

fn differences(one: &Value, other: &Value) -> String {
    let keys: BTreeSet<&String> =
        [one, other].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
    let differing: Vec<&str> =
        keys.into_iter().filter(|key| one.get(*key) != other.get(*key)).map(String::as_str).collect();
    differing.join(", ")
}

fn check_open(rest: &Rest, found: &mut Vec<String>) {
    for (number, open) in rest.open.iter().enumerate().filter(|(_, open)| **open > 0) {
        found.push(format!("{} still has {open} open requests", name_of(number)));
    }
}

/// An instance that lost its node is placed anew under a name made from the old one.
fn stem(instance: &str) -> &str {
    instance.split_once(".again-").map_or(instance, |(stem, _)| stem)
}

/// Every acknowledged placement that nobody tried to take away is there, no acknowledged deletion is undone, and nothing
/// is there that nobody asked for.
fn check_writes(writes: &[Write], state: &Value, found: &mut Vec<String>) {
    let mut by_key: BTreeMap<&str, Vec<&Write>> = BTreeMap::new();
    for write in writes {
        by_key.entry(&write.key).or_default().push(write);
    }
    for (key, writes) in by_key {
        check_placements(key, &writes, state, found);
    }
}

/// Names of what is wanted of a model: its intents where the State has them, its instances otherwise.
fn present<'a>(state: &'a Value, model: &str) -> BTreeSet<&'a str> {
    let of_intent = |value: &Value| value["place"]["modelId"] == model;
    let of_instance = |value: &Value| value["shardAssignments"]["modelCard"]["modelId"] == model;
    let names = |map: &'a Value, is_ours: &dyn Fn(&Value) -> bool| -> BTreeSet<&'a str> {
        let entries = map.as_object().into_iter().flatten();
        entries.filter(|(_, value)| is_ours(value)).map(|(name, _)| stem(name)).collect()
    };
    match state.get("intents") {
        Some(intents) => names(intents, &of_intent),
        None => names(&state["instances"], &of_instance),
    }
}

/// What users want and what is not there, ready, in words. Every node lives at the end, so everything fits.
pub fn unplaced(state: &Value) -> Vec<String> {
    let intents = state["intents"].as_object().into_iter().flatten();
    let instance_of = |intent: &String| {
        let mut instances = state["instances"].as_object().into_iter().flatten();
        instances.find(|(_, instance)| instance["intent"] == **intent).map(|(_, instance)| instance)
    };
    let complaint = |(intent, value): (&String, &Value)| {
        let model = value["place"]["modelId"].as_str().unwrap_or_default();
        let Some(instance) = instance_of(intent) else {
            return Some(format!("{model} is wanted ({intent}) and has no instance"));
        };
        let runners = instance["shardAssignments"]["runnerToShard"].as_object().into_iter().flatten();
        let waiting = runners.filter(|(runner, _)| state["runners"][runner.as_str()].get("RunnerReady").is_none());
        let waiting: Vec<&str> = waiting.map(|(runner, _)| runner.as_str()).collect();
        let is_ready = waiting.is_empty();
        (!is_ready).then(|| format!("{model} is wanted ({intent}) and not ready: {}", waiting.join(", ")))
    };
    intents.filter_map(complaint).collect()
}

fn check_placements(key: &str, writes: &[&Write], state: &Value, found: &mut Vec<String>) {
    let present = present(state, key);
    let mut placed = BTreeSet::new();
    let (mut deleted, mut maybe_deleted) = (BTreeSet::new(), BTreeSet::new());
    let mut maybe_placed = 0;
    for write in writes {
        match (&write.deed, &write.outcome) {
            (Deed::Place, Outcome::Acked { instance: Some(instance) }) => {
                placed.insert(stem(instance));
            }
            (Deed::Place, Outcome::Acked { instance: None }) => found.push(format!("{key}: placed without a name")),
            (Deed::Place, Outcome::Unknown(_)) => maybe_placed += 1,
            (Deed::Delete { instance }, Outcome::Acked { .. }) => {
                deleted.insert(stem(instance));
            }
            (Deed::Delete { instance }, Outcome::Unknown(_)) => {
                maybe_deleted.insert(stem(instance));
            }
            _ => {}
        }
    }
    for name in placed.iter().filter(|name| !deleted.contains(*name) && !maybe_deleted.contains(*name)) {
        if !present.contains(name) {
            found.push(format!("lost: {key} was acknowledged as {name} and is not in the State"));
        }
    }
    for name in deleted.iter().filter(|name| present.contains(*name)) {
        found.push(format!("back: {key} was acknowledged as taken away ({name}) and is in the State"));
    }
    let strangers = present.iter().filter(|name| !placed.contains(*name)).count();
    if strangers > maybe_placed {
        found.push(format!("{key}: {strangers} are there that nobody was told of, {maybe_placed} could be"));
    }
}

/// What is wrong with how a request ended, given what was done to its API meanwhile.
fn fault_of(chat: &Chat, outages: &[Outage]) -> Option<String> {
    let of_api = || outages.iter().filter(|outage| outage.api == chat.api);
    let killed = of_api().any(|outage| outage.killed && grown(outage).meets(&chat.span));
    let stood_still: Duration = of_api().map(|outage| outage.span.common(&chat.span)).sum();
    let took = chat.span.until.saturating_sub(chat.span.from);
    let allowed = REQUEST_DEADLINE + SLACK + stood_still;
    let where_and_when = || format!("at {} from {:.1?} to {:.1?}", name_of(chat.api), chat.span.from, chat.span.until);
    match &chat.answer {
        Answer::Wrong(what) => Some(format!("a request {} came out wrong: {what}", where_and_when())),
        Answer::Open => Some(format!("a request {} never ended", where_and_when())),
        Answer::Cut(_) | Answer::Unreachable if killed => None,
        Answer::Cut(why) => Some(format!("a request {} was cut though its api lived: {why}", where_and_when())),
        Answer::Unreachable => Some(format!("nobody took a request {}", where_and_when())),
        _ if took > allowed => Some(format!("a request {} ended after {took:.1?}", where_and_when())),
        Answer::Whole | Answer::Failed(_) | Answer::Left => None,
    }
}

/// An outage with the time that the new process needs.
fn grown(outage: &Outage) -> Span {
    Span { from: outage.span.from, until: outage.span.until + START }
}

#[cfg(test)]
mod tests;
