//! The recorded cases of EXO that bear on the log, the election, the followers and the plan: where each of them is kept.
//!
//! `exo-cases.json` has them by kind. A case is data of a test (the file has its id), or told by a test (`file::test`), or
//! left out for a reason.

use super::names_a_test;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const LIST: &str = include_str!("exo-cases.json");

/// How many there are of each kind, so that none is lost from the list.
const KINDS: [(&str, usize); 10] = [
    ("election.behaviour", 8),
    ("election.ordering", 6),
    ("event_buffer.multi", 1),
    ("event_buffer.ordered", 5),
    ("event_log.disk", 2),
    ("event_router.nack", 5),
    ("master.liveness", 2),
    ("master.routing", 5),
    ("state.apply", 18),
    ("worker.plan", 23),
];

/// By kind, by id: the place.
type Cases = BTreeMap<String, BTreeMap<String, String>>;

/// Every case has its place.
pub fn check(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    check_list(root, &serde_json::from_str(LIST).context("exo-cases.json")?, findings);
    Ok(())
}

fn check_list(root: &Path, cases: &Cases, findings: &mut Vec<String>) {
    for (kind, count) in KINDS {
        let listed = cases.get(kind).map_or(0, BTreeMap::len);
        if listed != count {
            findings.push(format!("exo-cases.json: {listed} cases of {kind}, there are {count}"));
        }
    }
    for (id, place) in cases.values().flatten() {
        if !is_kept(root, id, place) {
            findings.push(format!("exo-cases.json: {id} is not kept where it says ({place})"));
        }
    }
}

fn is_kept(root: &Path, id: &str, place: &str) -> bool {
    if let Some(reason) = place.strip_prefix("left out: ") {
        return !reason.trim().is_empty();
    }
    if place.contains("::") {
        return names_a_test(root, place);
    }
    fs::read_to_string(root.join(place)).is_ok_and(|data| data.contains(&format!("\"{id}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(change: impl Fn(&mut Cases)) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut cases: Cases = serde_json::from_str(LIST).expect("the list");
        change(&mut cases);
        let mut findings = Vec::new();
        check_list(&root, &cases, &mut findings);
        findings
    }

    #[test]
    fn every_recorded_case_has_its_place() {
        assert_eq!(found(|_| ()), [""; 0]);
    }

    #[test]
    fn a_case_that_is_lost_or_kept_nowhere_is_found() {
        let lost = found(|cases| drop(cases.get_mut("worker.plan").and_then(|plan| plan.remove("plan-07"))));
        assert_eq!(lost, ["exo-cases.json: 22 cases of worker.plan, there are 23"]);
        for place in [
            "left out: ",
            "crates/exo-state/tests/data/exo-apply.json",
            "services/exo-master/src/layout.rs::the_archive_is_endless",
            "crates/nowhere.json",
        ] {
            let kept = found(|cases| {
                cases.get_mut("worker.plan").expect("a kind").insert("plan-07".to_owned(), place.to_owned());
            });
            assert_eq!(kept, [format!("exo-cases.json: plan-07 is not kept where it says ({place})")]);
        }
    }
}
