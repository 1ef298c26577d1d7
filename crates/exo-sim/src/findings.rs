//! What was found to be wrong.

use crate::trace::Trace;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
    /// When, since the beginning.
    pub at: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} {}: {}", self.at.as_secs_f64(), self.invariant, self.detail)
    }
}

/// All of them. A clone is the same list.
#[derive(Clone)]
pub(crate) struct Findings {
    list: Arc<Mutex<Vec<Violation>>>,
    trace: Trace,
}

/// Findings that are kept; the first says most.
const KEPT: usize = 16;

impl Findings {
    pub(crate) fn new(trace: Trace) -> Self {
        Self { list: Arc::default(), trace }
    }

    /// Takes up what an invariant says.
    pub(crate) fn check(&self, invariant: &'static str, holds: Result<(), String>) {
        let Err(detail) = holds else { return };
        let violation = Violation { invariant, detail, at: self.trace.elapsed() };
        self.trace.say(format_args!("VIOLATION {}: {}", violation.invariant, violation.detail));
        self.push(violation);
    }

    /// Adds one that was seen when the trace had ended.
    pub(crate) fn push(&self, violation: Violation) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < KEPT {
            list.push(violation);
        }
    }

    pub(crate) fn list(&self) -> Vec<Violation> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
