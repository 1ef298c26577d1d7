//! What was compared, and what lies beyond its bound.

use crate::report::Table;
use anyhow::{Result, bail};
use exo_testkit::{Agreement, AgreementBound};

/// Rows of a table, and the failures among them.
pub struct Findings {
    table: Table,
    failures: Vec<String>,
}

impl Findings {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { table: Table::new(&["model", "measure", "bound", "measured", ""]), failures: Vec::new() }
    }

    /// Prints the table; an error names what is beyond.
    pub fn conclude(self) -> Result<()> {
        println!("{}", self.table.render());
        if self.failures.is_empty() { Ok(()) } else { bail!("beyond the bound: {}", self.failures.join(", ")) }
    }

    /// Logits of two engines.
    pub fn agreement(&mut self, name: &str, measured: Agreement, bound: &AgreementBound) {
        let rows = [
            ("difference", bound.difference, measured.difference),
            ("divergence", bound.divergence, measured.divergence),
        ];
        for (measure, bound, value) in rows {
            self.bounded(name, measure, value, bound);
        }
        let same = measured.same_likeliest;
        let bound = bound.same_likeliest;
        self.row(name, "same likeliest", format!("≥ {bound}"), format!("{same:.3}"), same >= bound);
    }

    /// A number that must not be larger than a bound; NaN is beyond every one.
    pub fn bounded(&mut self, name: &str, measure: &str, value: f32, bound: f32) {
        self.row(name, measure, format!("≤ {bound}"), format!("{value:.2e}"), value <= bound);
    }

    /// How many of several things are the same.
    pub fn counted(&mut self, name: &str, measure: &str, same: usize, of: usize) {
        self.row(name, measure, format!("{of} of {of}"), same.to_string(), same == of);
    }

    fn row(&mut self, name: &str, measure: &str, bound: String, measured: String, keeps: bool) {
        let verdict = if keeps { "" } else { "beyond" };
        self.table.row(vec![name.to_owned(), measure.to_owned(), bound, measured, verdict.to_owned()]);
        if !keeps {
            self.failures.push(format!("{name} ({measure})"));
        }
    }
}
