//! The seam between the ranks of a pipeline: the engine computes, whoever runs it carries hidden states over links.
//!
//! Rank 0 holds the embedding, its layers and the head; the last rank sends back the rows that the head needs. So
//! tokens, logits and sampling never leave rank 0, and tied embeddings are held once.

use crate::plan::BatchPlan;

/// What a [`NextStages`] may fail with; the engine passes it on unchanged.
pub type NextStagesError = Box<dyn std::error::Error + Send + Sync>;

/// The ranks after this one, as seen from rank 0.
pub trait NextStages: Send {
    /// Runs one step through all following ranks.
    ///
    /// `hidden` comes as `plan.tokens()` rows of the model's width and is replaced by `plan.head_rows()` rows, which
    /// may be none. The call ends within the link's deadline, with an error if a rank is gone.
    fn run(&mut self, plan: &BatchPlan, hidden: &mut Vec<f32>) -> Result<(), NextStagesError>;
}
