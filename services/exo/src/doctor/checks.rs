//! The checks: facts in, findings out. Pure.

mod devices;
mod identity;
mod limits;
mod models;
mod network;
mod storage;

use super::Unit;
use super::facts::Facts;
use super::finding::{Finding, Severity};

/// A check of one matter.
type Check = fn(&Facts, &mut Vec<Finding>);

const CHECKS: [Check; 15] = [
    configuration,
    network::ports,
    network::addresses,
    network::peers,
    storage::data_dir,
    storage::mounts,
    storage::files,
    storage::tls,
    storage::space,
    models::models,
    limits::limits,
    identity::clock,
    identity::certificate,
    devices::runner,
    devices::cards_and_links,
];

/// Every finding; of a unit only what prevents its service.
pub(super) fn all(facts: &Facts, unit: Option<Unit>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in CHECKS {
        check(facts, &mut findings);
    }
    if let Some(unit) = unit {
        findings.retain(|finding| finding.severity == Severity::Error && prevents(unit, finding.check));
    }
    findings
}

/// Which services a matter concerns. A certificate is for the service itself: it asks for a new one when it starts.
fn prevents(unit: Unit, check: &str) -> bool {
    match check {
        "dataDir" | "mounts" | "disk" | "clock" | "addresses" => true,
        // Only its own ports were looked at.
        "ports" => true,
        "keyFile" | "tls" => unit == Unit::Api,
        "runner" => unit == Unit::Worker,
        _ => false,
    }
}

fn configuration(facts: &Facts, findings: &mut Vec<Finding>) {
    let told = facts.config_warnings.iter();
    findings.extend(
        told.map(|warning| Finding::warning("configuration", warning, "`exo config reference` lists every key")),
    );
}

#[cfg(test)]
mod tests;
