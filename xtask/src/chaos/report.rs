//! What the run came to.

use crate::chaos::history::{Events, Outcome};
use crate::chaos::injector::Done;
use crate::cluster::Answer;
use crate::report::{Table, median};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The faults can be planned again with it.
    pub seed: u64,
    /// How long faults came.
    pub seconds: f64,
    /// Whether links were cut too, or why not.
    pub networks: String,
    /// By kind.
    pub faults: BTreeMap<&'static str, FaultRow>,
    /// What became of changes.
    pub writes: Writes,
    /// What became of requests for text.
    pub requests: Requests,
    /// From the last fault until every API served; none if that did not happen.
    pub recovered_after_seconds: Option<f64>,
    /// What broke a promise.
    pub violations: Vec<String>,
}

/// What faults of a kind led to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultRow {
    /// How often.
    pub times: usize,
    /// How often there was nothing to do it to.
    pub without_effect: usize,
    /// Seconds until the next change was acknowledged: the middle.
    pub next_ack_median: f64,
    /// The longest.
    pub next_ack_longest: f64,
    #[serde(skip)]
    waits: Vec<f64>,
}

/// Changes.
#[derive(Debug, Default, Serialize)]
pub struct Writes {
    acknowledged: usize,
    refused: usize,
    unknown: usize,
}

/// Requests for text.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    answered: usize,
    /// By code.
    failed: BTreeMap<String, usize>,
    left: usize,
    /// Cut with their API, or with nobody to take them.
    cut_with_api: usize,
}

impl Writes {
    fn count(events: &Events) -> Self {
        let mut writes = Self::default();
        for write in &events.writes {
            match write.outcome {
                Outcome::Acked { .. } => writes.acknowledged += 1,
                Outcome::Refused(_) => writes.refused += 1,
                Outcome::Unknown(_) => writes.unknown += 1,
            }
        }
        writes
    }
}

impl Requests {
    fn count(events: &Events) -> Self {
        let mut requests = Self::default();
        for chat in &events.chats {
            match &chat.answer {
                Answer::Whole => requests.answered += 1,
                Answer::Failed(code) => *requests.failed.entry(code.clone()).or_default() += 1,
                Answer::Left => requests.left += 1,
                Answer::Cut(_) | Answer::Unreachable => requests.cut_with_api += 1,
                // Those are among the violations.
                Answer::Wrong(_) | Answer::Open => {}
            }
        }
        requests
    }
}

/// Faults by kind, each with the time until the next acknowledgement.
pub fn rows(done: &[Done], events: &Events) -> BTreeMap<&'static str, FaultRow> {
    let mut acked: Vec<Duration> = events
        .writes
        .iter()
        .filter(|write| matches!(write.outcome, Outcome::Acked { .. }))
        .map(|write| write.span.until)
        .collect();
    acked.sort();
    let mut rows: BTreeMap<&'static str, FaultRow> = BTreeMap::new();
    for done in done {
        let row = rows.entry(done.fault.kind()).or_default();
        row.times += 1;
        if !done.took_effect {
            row.without_effect += 1;
            continue;
        }
        let next = acked.iter().find(|until| **until > done.at);
        row.waits.extend(next.map(|until| (*until - done.at).as_secs_f64()));
    }
    for row in rows.values_mut().filter(|row| !row.waits.is_empty()) {
        row.next_ack_median = median(&row.waits);
        row.next_ack_longest = row.waits.iter().copied().fold(0.0, f64::max);
    }
    rows
}

impl Report {
    /// Counts.
    pub fn new(seed: u64, length: Duration, networks: String, done: &[Done], events: &Events) -> Self {
        Self {
            seed,
            seconds: length.as_secs_f64(),
            networks,
            faults: rows(done, events),
            writes: Writes::count(events),
            requests: Requests::count(events),
            recovered_after_seconds: None,
            violations: Vec::new(),
        }
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["fault", "times", "in vain", "next acknowledgement p50", "longest"]);
        for (kind, row) in &self.faults {
            let seconds = |value: f64| if row.waits.is_empty() { "–".to_owned() } else { format!("{value:.2} s") };
            table.row(vec![
                (*kind).to_owned(),
                row.times.to_string(),
                row.without_effect.to_string(),
                seconds(row.next_ack_median),
                seconds(row.next_ack_longest),
            ]);
        }
        let failed: Vec<String> = self.requests.failed.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let failed = if failed.is_empty() { "none".to_owned() } else { failed.join(", ") };
        let recovered = self.recovered_after_seconds.map_or("never".to_owned(), |after| format!("{after:.1} s"));
        let verdict = match self.violations.len() {
            0 => "0 lost acknowledgements, 0 open requests, all States agree".to_owned(),
            count => format!("{count} promises broken:\n  {}", self.violations.join("\n  ")),
        };
        format!(
            "\n{}\n\nseed {}, {:.0} s of faults; links: {}\n\
             changes: {} acknowledged, {} refused, {} unknown\n\
             requests: {} answered, {} left by the client, {} cut with their api; failed with a code: {failed}\n\
             served again after the last fault: {recovered}\n{verdict}",
            table.render(),
            self.seed,
            self.seconds,
            self.networks,
            self.writes.acknowledged,
            self.writes.refused,
            self.writes.unknown,
            self.requests.answered,
            self.requests.left,
            self.requests.cut_with_api,
        )
    }
}
