//! Whether a run was a trial at all: a cluster that nothing is done to, or that nobody asks for anything, breaks no promise
//! and proves none. Pure.

use crate::chaos::history::{Events, Outcome, Span};
use crate::chaos::injector::Done;
use crate::cluster::Answer;
use std::time::Duration;

/// In so much time under faults at least one change is acknowledged, and one text answered, on average: two busy cores do
/// six times as many with unoptimised programs.
const SLOWEST: Duration = Duration::from_secs(5);

/// What was done, for how long.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// Faults, those without effect too.
    pub done: &'a [Done],
    /// How long they came.
    pub lasted: Duration,
    /// What cut links have lost; none where no link can be cut.
    pub lost_packets: Option<u64>,
}

impl Trial<'_> {
    /// What was missing for a proof, in words.
    pub fn shortcomings(&self, events: &Events) -> Vec<String> {
        let mut found = Vec::new();
        if !self.done.iter().any(|done| done.took_effect && done.fault.kills()) {
            found.push("no trial: nothing was killed".to_owned());
        }
        found.extend(self.uncut());
        let is_within = |span: &Span| span.until <= self.lasted;
        let acked = |outcome: &Outcome| matches!(outcome, Outcome::Acked { .. });
        let acked = events.writes.iter().filter(|write| is_within(&write.span) && acked(&write.outcome)).count();
        let answered = events.chats.iter().filter(|chat| is_within(&chat.span) && chat.answer == Answer::Whole).count();
        let least = self.least();
        for (count, what) in [(acked, "changes acknowledged"), (answered, "texts answered")] {
            if count < least {
                found.push(format!("no trial: {count} {what} in {:.0?} of faults, at least {least}", self.lasted));
            }
        }
        found
    }

    /// Of what clients ask for.
    fn least(&self) -> usize {
        usize::try_from(self.lasted.as_millis() / SLOWEST.as_millis()).unwrap_or(usize::MAX).max(1)
    }

    fn uncut(&self) -> Option<String> {
        let lost = self.lost_packets?;
        let cut = self.done.iter().any(|done| done.took_effect && done.fault.is_cut());
        match (cut, lost) {
            (false, _) => Some("no trial: no link was cut".to_owned()),
            (true, 0) => Some("no trial: links were cut and not one packet was lost".to_owned()),
            (true, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::fault::Fault;
    use crate::chaos::history::{Chat, Deed, Write};
    use crate::cluster::Part;

    const LASTED: Duration = Duration::from_secs(10);

    fn done(fault: Fault, took_effect: bool) -> Done {
        Done { fault, at: Duration::ZERO, took_effect }
    }

    fn killed(took_effect: bool) -> Done {
        done(Fault::Kill { node: 0, part: Part::Master }, took_effect)
    }

    fn cut(took_effect: bool) -> Done {
        done(Fault::Isolate { node: 1 }, took_effect)
    }

    fn span(until: Duration) -> Span {
        Span { from: Duration::ZERO, until }
    }

    /// So many changes and texts, all of them at that time.
    fn events(acked: usize, answered: usize, until: Duration) -> Events {
        let outcome = Outcome::Acked { instance: None };
        let write = Write { key: "model".to_owned(), deed: Deed::Place, span: span(until), outcome };
        let chat = Chat { api: 0, span: span(until), answer: Answer::Whole };
        Events { writes: vec![write; acked], chats: vec![chat; answered], ..Events::default() }
    }

    /// Each expected text is a part of one shortcoming, in order; there are no others.
    fn check(done: &[Done], lost_packets: Option<u64>, events: &Events, expect: &[&str]) {
        let found = Trial { done, lasted: LASTED, lost_packets }.shortcomings(events);
        let fits = found.len() == expect.len() && found.iter().zip(expect).all(|(found, part)| found.contains(part));
        assert!(fits, "expected {expect:?}, found {found:?}");
    }

    #[test]
    fn something_must_be_killed_and_cut_and_lose_packets() {
        let enough = events(2, 2, LASTED);
        check(&[killed(true), cut(true)], Some(7), &enough, &[]);
        check(&[killed(false), cut(true)], Some(7), &enough, &["nothing was killed"]);
        check(&[cut(true)], Some(7), &enough, &["nothing was killed"]);
        check(&[killed(true)], Some(0), &enough, &["no link was cut"]);
        check(&[killed(true), cut(false)], Some(0), &enough, &["no link was cut"]);
        check(&[killed(true), cut(true)], Some(0), &enough, &["not one packet was lost"]);
        check(&[], Some(0), &enough, &["nothing was killed", "no link was cut"]);
    }

    #[test]
    fn on_loopback_nothing_need_be_cut() {
        check(&[killed(true)], None, &events(2, 2, LASTED), &[]);
    }

    #[test]
    fn clients_must_have_been_served_while_faults_came() {
        let faults = [killed(true), cut(true)];
        let none = ["0 changes acknowledged in 10s of faults, at least 2", "0 texts answered"];
        check(&faults, Some(7), &Events::default(), &none);
        check(&faults, Some(7), &events(1, 2, LASTED), &["1 changes acknowledged"]);
        check(&faults, Some(7), &events(2, 1, LASTED), &["1 texts answered"]);
        // What came when the faults were over does not count.
        check(&faults, Some(7), &events(9, 9, LASTED * 2), &none);
        let refused = Outcome::Refused("no_leader".to_owned());
        let mut unserved = events(2, 2, LASTED);
        unserved.writes.iter_mut().for_each(|write| write.outcome = refused.clone());
        unserved.chats.iter_mut().for_each(|chat| chat.answer = Answer::Failed("not_ready".to_owned()));
        check(&faults, Some(7), &unserved, &none);
    }
}
