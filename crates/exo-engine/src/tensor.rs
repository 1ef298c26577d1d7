//! The seam between ranks that share layers: each computes some outputs of every matrix, and what the next matrix needs
//! of the others is gathered.
//!
//! No sum is ever taken over ranks. A rank computes its outputs whole, with the weights of whole rows, by the same kernel
//! that a single rank uses; what travels are finished numbers. So the bits do not depend on the number of ranks, on how
//! unevenly they share, or on the format of the weights, and every rank reads whole consecutive rows of the file. Adding
//! up partial products instead would halve the number of exchanges, and tie the bits to the number of ranks, or every
//! kernel to one partition of its inputs.

use crate::{pipeline::RanksError, plan::BatchPlan};

/// Which share of the outputs of its layers a rank computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its number, from 0; the first one leads.
    pub rank: usize,
    /// So many ranks share the layers.
    pub size: usize,
}

impl Share {
    /// All of them.
    pub const WHOLE: Self = Self { rank: 0, size: 1 };
}

/// What ranks are told to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Their layers; with all layers of the model, the head too.
    Layers,
    /// The head, for rows that come from other layers.
    Head,
}

/// The ranks that share this one's layers. Each of them makes the same calls in the same order.
///
/// Every call ends within the links' deadline, with an error if a rank is gone.
pub trait TensorGroup: Send {
    /// Has the others compute the same rows; only the leader calls it.
    fn lead(&mut self, work: Work, plan: &BatchPlan, rows: &[f32]) -> Result<(), RanksError>;

    /// Brings the parts of all ranks to all. `whole` consists of them in the order of the ranks, `parts` are their
    /// lengths; this rank's own is there already.
    fn all_gather(&mut self, parts: &[usize], whole: &mut [f32]) -> Result<(), RanksError>;

    /// The same, for the leader only.
    fn gather(&mut self, parts: &[usize], whole: &mut [f32]) -> Result<(), RanksError>;
}
