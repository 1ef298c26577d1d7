//! What one step of the engine computes, small enough to be sent to every rank before each step.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Whose hidden states the head needs after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// None: a piece of a prompt that is not its end.
    None,
    /// The last token's: the next token is sampled from it.
    Last,
    /// Every token's: perplexity.
    All,
}

/// The part of one sequence in a step: `tokens` new tokens from position `start` on, kept in cache slot `slot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePlan {
    /// Cache slot; every rank keeps the keys and values of its own layers in the slot of the same number.
    pub slot: u32,
    /// Position of the first new token: how many tokens of the slot are valid before this step.
    pub start: u32,
    /// Number of new tokens, at least one.
    pub tokens: u32,
    /// Whose hidden states come back from the last rank.
    pub rows: Rows,
}

/// Positions of a block: what sequences that begin the same share, as a whole or not at all.
pub const BLOCK: usize = 64;

/// What happens in the caches before a step is computed, so that what one sequence had computed serves others: rank 0
/// decides, and every rank does the same with the keys and values of its own layers. In the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMoves {
    /// Slots and blocks are forgotten: some rank may not have done what it was told before.
    pub clears: bool,
    /// Positions of slots that are blocks from now on.
    pub shares: Vec<BlockShare>,
    /// Slots that hold blocks from now on, and nothing else.
    pub restores: Vec<BlockRestore>,
    /// Blocks that are forgotten. One that a rank does not have is none the less.
    pub drops: Vec<u32>,
}

/// [`BLOCK`] positions of a slot and a block are one from now on: the block's, if there is one of that number already, for
/// then the slot holds the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockShare {
    /// The slot.
    pub slot: u32,
    /// Which of its positions: those from `part` · [`BLOCK`] on.
    pub part: u32,
    /// Number of the block; none is given twice.
    pub block: u32,
}

/// A slot holds these blocks from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRestore {
    /// The slot.
    pub slot: u32,
    /// Its positions from 0 on; none empty it.
    pub blocks: Vec<u32>,
}

/// One step: rows of the hidden states lie sequence after sequence, token after token, in the order of `sequences`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPlan {
    /// Number of the step, from 1 on; every rank sees each number once.
    pub step: u64,
    /// The sequences that take part; every slot at most once.
    pub sequences: Vec<SequencePlan>,
    /// What comes before.
    pub moves: CacheMoves,
}

/// A plan that this stage cannot carry out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Nothing to compute.
    #[error("step {step} has no tokens")]
    Empty {
        /// The step.
        step: u64,
    },
    /// A slot that does not exist or appears twice.
    #[error("step {step} names slot {slot} twice or beyond the {slots} slots of this stage")]
    Slot {
        /// The step.
        step: u64,
        /// The slot named.
        slot: u32,
        /// How many there are.
        slots: u32,
    },
    /// Positions beyond the context.
    #[error("step {step} reaches position {end} in slot {slot}, but the context of this stage is {context}")]
    Context {
        /// The step.
        step: u64,
        /// The slot.
        slot: u32,
        /// Position after the last token.
        end: u64,
        /// Context of the stage.
        context: u32,
    },
    /// Positions that a stage never saw: it joined late, or a step was lost.
    #[error("step {step} continues slot {slot} at position {start}, but this stage holds {held} positions of it")]
    Gap {
        /// The step.
        step: u64,
        /// The slot.
        slot: u32,
        /// Position of the first new token.
        start: u32,
        /// Positions that are there.
        held: u32,
    },
    /// A block that a stage does not have, or positions that it does not hold.
    #[error("step {step} moves block {block} and slot {slot} of this stage, which has not got {missing}")]
    Block {
        /// The step.
        step: u64,
        /// The slot.
        slot: u32,
        /// The block.
        block: u32,
        /// "the block", "the slot", "the positions" or "the room".
        missing: &'static str,
    },
    /// More tokens than the buffers of this stage hold.
    #[error("step {step} has {tokens} tokens, but this stage was loaded for at most {limit} a step")]
    TooManyTokens {
        /// The step.
        step: u64,
        /// Tokens in the plan.
        tokens: u64,
        /// Most tokens a step.
        limit: u32,
    },
    /// Hidden states or tokens that do not match the plan.
    #[error("step {step} needs {expected} values, {got} came")]
    Length {
        /// The step.
        step: u64,
        /// Values that the plan needs.
        expected: usize,
        /// Values that came.
        got: usize,
    },
}

impl BatchPlan {
    /// Number of tokens in the step: rows of the hidden states that go from rank to rank.
    pub fn tokens(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.tokens as usize).sum()
    }

    /// Number of rows that the head needs: rows that the last rank sends back.
    pub fn head_rows(&self) -> usize {
        self.sequences.iter().map(SequencePlan::head_rows).sum()
    }

    /// Copies the rows that the head needs out of all rows of the step, each `width` values wide.
    pub fn select_head_rows(&self, hidden: &[f32], width: usize) -> Vec<f32> {
        let mut selected = Vec::with_capacity(self.head_rows() * width);
        let mut first = 0;
        for sequence in &self.sequences {
            let end = first + sequence.tokens as usize;
            selected.extend_from_slice(&hidden[(end - sequence.head_rows()) * width..end * width]);
            first = end;
        }
        selected
    }

    /// Checks the plan against what a stage was loaded for; plans come from another machine.
    pub fn check(&self, slots: u32, context: u32, limit: u32) -> Result<(), PlanError> {
        let step = self.step;
        let mut seen = vec![false; slots as usize];
        for sequence in &self.sequences {
            match seen.get_mut(sequence.slot as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(PlanError::Slot { step, slot: sequence.slot, slots }),
            }
            let end = u64::from(sequence.start) + u64::from(sequence.tokens);
            if end > u64::from(context) {
                return Err(PlanError::Context { step, slot: sequence.slot, end, context });
            }
        }
        let tokens = self.sequences.iter().map(|sequence| u64::from(sequence.tokens)).sum::<u64>();
        if tokens > u64::from(limit) {
            return Err(PlanError::TooManyTokens { step, tokens, limit });
        }
        let has_empty_sequence = self.sequences.iter().any(|sequence| sequence.tokens == 0);
        if tokens == 0 || has_empty_sequence { Err(PlanError::Empty { step }) } else { Ok(()) }
    }
}

impl SequencePlan {
    fn head_rows(&self) -> usize {
        match self.rows {
            Rows::None => 0,
            Rows::Last => 1,
            Rows::All => self.tokens as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(slot: u32, start: u32, tokens: u32, rows: Rows) -> SequencePlan {
        SequencePlan { slot, start, tokens, rows }
    }

    #[test]
    fn a_plan_that_lies_is_refused_with_its_numbers() {
        let check = |sequences: Vec<SequencePlan>, expect: &str| {
            let error = BatchPlan { step: 7, sequences, ..BatchPlan::default() }
                .check(2, 16, 12)
                .expect_err(expect)
                .to_string();
            assert!(error.contains(expect), "{error} does not contain {expect}");
        };
        check(vec![], "no tokens");
        check(vec![sequence(0, 0, 0, Rows::Last)], "no tokens");
        check(vec![sequence(2, 0, 1, Rows::Last)], "slot 2");
        check(vec![sequence(0, 0, 1, Rows::Last), sequence(0, 1, 1, Rows::Last)], "slot 0 twice");
        check(vec![sequence(0, 10, 7, Rows::Last)], "position 17");
        check(vec![sequence(0, u32::MAX, 7, Rows::Last)], "position 4294967302");
        check(vec![sequence(0, 0, 7, Rows::None), sequence(1, 0, 7, Rows::None)], "14 tokens");
    }

    #[test]
    fn head_rows_are_the_last_or_all_of_a_sequence() {
        let plan = BatchPlan {
            step: 1,
            sequences: vec![sequence(0, 0, 2, Rows::Last), sequence(1, 0, 1, Rows::None), sequence(2, 0, 2, Rows::All)],
            ..BatchPlan::default()
        };
        assert_eq!(plan.select_head_rows(&[0.0, 1.0, 2.0, 3.0, 4.0], 1), [1.0, 3.0, 4.0]);
    }
}
