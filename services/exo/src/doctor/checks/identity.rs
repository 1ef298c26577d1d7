//! The clock, and the certificate whose time it judges.

use crate::doctor::facts::{Certificate, Facts};
use crate::doctor::finding::Finding;
use exo_hardware::ClockState;
use exo_identity::RENEWED_BEFORE;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(86_400);
/// The first of January 2025: no exo is older.
const OLDEST: Duration = DAY.saturating_mul(20_089);
/// The first of January 2100.
const NEWEST: Duration = DAY.saturating_mul(47_482);

pub(super) fn clock(facts: &Facts, findings: &mut Vec<Finding>) {
    let since = facts.now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let remedy = "set the clock (`timedatectl set-ntp true`, `date --set`)";
    if since < OLDEST || since > NEWEST {
        // A year has 365 days and a quarter.
        let year = 1970 + since.as_secs() * 4 / (DAY.as_secs() * 1461);
        let message = format!("the clock says that it is {year}; no certificate is valid then");
        findings.push(Finding::error("clock", message, remedy));
    } else if facts.clock == ClockState::Unsynchronised {
        let message = "nothing keeps the clock right; nodes whose clocks differ much refuse each other's certificates";
        findings.push(Finding::warning("synchronisation", message, "`timedatectl set-ntp true`, or install chrony"));
    }
}

pub(super) fn certificate(facts: &Facts, findings: &mut Vec<Finding>) {
    match &facts.certificate {
        Certificate::None => {}
        Certificate::Unreadable(reason) => findings.push(Finding::error(
            "certificate",
            format!("the identity of this node cannot be used: {reason}"),
            "run this as the user that runs exo; if it is damaged, `exo cluster join` with a new token",
        )),
        Certificate::Found { not_before, not_after, has_authority } => {
            findings.extend(times(facts.now, *not_before, *not_after, *has_authority));
        }
    }
}

/// A node with the cluster's key renews its certificate itself, whenever it starts.
fn times(now: SystemTime, not_before: SystemTime, not_after: SystemTime, has_authority: bool) -> Option<Finding> {
    if let Ok(early) = not_before.duration_since(now)
        && early > Duration::ZERO
    {
        let message = format!("this node's certificate is valid only in {}", told(early));
        let remedy = "the clock is wrong now, or was when the node was let in; set it";
        return Some(Finding::error("certificate", message, remedy));
    }
    if has_authority {
        return None;
    }
    let remedy = "start a master that this node reaches, or run `exo cluster join` with a new token";
    match not_after.duration_since(now) {
        Err(late) => {
            let message = format!("this node's certificate expired {} ago", told(late.duration()));
            Some(Finding::error("certificate", message, remedy))
        }
        // It should have been renewed by then, with a few days to spare.
        Ok(left) if left < RENEWED_BEFORE / 2 => {
            let message = format!("this node's certificate expires in {} and was not renewed", told(left));
            Some(Finding::warning("certificate", message, remedy))
        }
        Ok(_) => None,
    }
}

fn told(time: Duration) -> String {
    match time.as_secs() {
        seconds if time >= DAY * 2 => format!("{} days", seconds / DAY.as_secs()),
        seconds => format!("{} hours", seconds.div_ceil(3600)),
    }
}
