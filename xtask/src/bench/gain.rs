//! How much faster two processes are than one.

use crate::report::median;
use serde::Serialize;

/// Medians of milliseconds a token.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gain {
    /// Of one process.
    pub one_process: f64,
    /// Of two.
    pub two_processes: f64,
    /// How many times as fast two are.
    pub gain: f64,
}

impl Gain {
    /// Of the rounds of each.
    pub fn of(one: &[f64], two: &[f64]) -> Self {
        let (one_process, two_processes) = (median(one), median(two));
        Self { one_process, two_processes, gain: one_process / two_processes }
    }

    /// Cells of a table: one process, two, and the gain.
    pub fn cells(&self) -> [String; 3] {
        [format!("{:.2}", self.one_process), format!("{:.2}", self.two_processes), format!("{:.2} x", self.gain)]
    }
}
