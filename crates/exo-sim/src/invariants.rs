//! What must hold, whatever goes wrong. One file for each.
//!
//! Each takes up what it is shown and says `Err` with what is wrong; none of them knows how the cluster works.

pub(crate) mod acknowledged_stays;
pub(crate) mod ends_by_deadline;
pub(crate) mod logs_agree;
pub(crate) mod nothing_panics;
pub(crate) mod one_leader_per_term;
pub(crate) mod one_outcome;
pub(crate) mod one_session;
pub(crate) mod routed_to_ready;
pub(crate) mod serves_again;
pub(crate) mod states_agree;
#[cfg(test)]
mod testing;
pub(crate) mod time_goes_on;
pub(crate) mod wishes_granted;

/// What an invariant says to what it was shown.
pub(crate) type Holds = Result<(), String>;
