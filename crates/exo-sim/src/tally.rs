//! How often what a simulation is for came up: a storm that leads to nothing proves nothing.

use std::fmt;
use std::ops::AddAssign;

/// Counts of one simulation, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Damaged logs that were put away.
    pub quarantines: u64,
    /// Machines whose log was put away and which vote again at the end.
    pub heals: u64,
    /// Sessions that a survivor opened from its own State.
    pub takeovers: u64,
    /// Masters that gave their session up for a larger one when clients were at work.
    pub meetings: u64,
    /// Voters whose place another master took.
    pub replaced_voters: u64,
    /// Masters that left their session in order.
    pub leaves: u64,
    /// Masters that came when the session was under way.
    pub late_joins: u64,
}

impl Tally {
    /// Each with what it is called.
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("quarantines", self.quarantines),
            ("heals", self.heals),
            ("takeovers", self.takeovers),
            ("meetings", self.meetings),
            ("voters replaced", self.replaced_voters),
            ("leaves", self.leaves),
            ("late joins", self.late_joins),
        ]
    }

    /// What never came up.
    pub fn missing(&self) -> Vec<&'static str> {
        self.named().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.quarantines += other.quarantines;
        self.heals += other.heals;
        self.takeovers += other.takeovers;
        self.meetings += other.meetings;
        self.replaced_voters += other.replaced_voters;
        self.leaves += other.leaves;
        self.late_joins += other.late_joins;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.named().iter().map(|(name, count)| format!("{count} {name}")).collect();
        f.write_str(&counts.join(", "))
    }
}
