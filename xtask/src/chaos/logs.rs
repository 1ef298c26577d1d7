//! The masters' logs on their disks, when nobody writes them any more.

use crate::cluster::{Cluster, Part, name_of};
use serde_json::Value;
use std::collections::BTreeMap;

/// Events by their index, as one node has them.
type Log = BTreeMap<u64, Value>;

/// Every record of every master is good, and where two have an event of the same index it is the same event. What is not
/// so, in words.
pub fn complaints(cluster: &mut Cluster) -> Vec<String> {
    let mut found = Vec::new();
    let mut logs = Vec::new();
    for number in 0..cluster.count() {
        if !cluster.node(number).parts().contains(&Part::Master) {
            continue;
        }
        let name = name_of(number);
        found.extend(cluster.exo(number, &["log", "verify"]).err().map(|error| format!("{name}: {error:#}")));
        match cluster.exo(number, &["log", "export", "--offline"]) {
            Ok(text) => logs.push((name, read(&text))),
            Err(error) => found.push(format!("{name}: {error:#}")),
        }
    }
    found.extend(differences(&logs));
    found
}

fn read(text: &str) -> Log {
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| Some((event["idx"].as_u64()?, event))).collect()
}

fn differences(logs: &[(String, Log)]) -> Vec<String> {
    let Some(((first, events), others)) = logs.split_first() else { return Vec::new() };
    let differing = |(name, other): &(String, Log)| {
        let index = events.iter().find(|(index, event)| other.get(index).is_some_and(|theirs| theirs != *event))?.0;
        Some(format!("the logs of {first} and {name} have different events at {index}"))
    };
    let mut found: Vec<String> = others.iter().filter_map(differing).collect();
    let empty = logs.iter().filter(|(_, log)| log.is_empty());
    found.extend(empty.map(|(name, _)| format!("the log of {name} has no event")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_agree_where_they_overlap() {
        let log = |name: &str, events: &[(u64, &str)]| {
            let lines: Vec<String> =
                events.iter().map(|(idx, event)| format!("{{\"idx\":{idx},\"event\":\"{event}\"}}")).collect();
            (name.to_owned(), read(&lines.join("\n")))
        };
        let a = log("a", &[(1, "x"), (2, "y")]);
        assert_eq!(differences(&[a.clone(), log("b", &[(2, "y"), (3, "z")])]), Vec::<String>::new());
        let found = differences(&[a.clone(), log("b", &[(2, "z")])]);
        assert_eq!(found, ["the logs of a and b have different events at 2"]);
        assert_eq!(differences(&[a, log("c", &[])]), ["the log of c has no event"]);
    }
}
