//! A step as the metadata of a frame: what is to be done, the number of the step, then 13 bytes for each sequence. All
//! little-endian.

use exo_engine::{BatchPlan, Rows, SequencePlan, Work};
use thiserror::Error;

const STEP: usize = 9;
const SEQUENCE: usize = 13;

/// What ranks are told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Which part of the model.
    pub(crate) work: Work,
    /// For which rows.
    pub(crate) plan: BatchPlan,
}

/// Bytes that are no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum StepBytesError {
    #[error("a step of {0} bytes; it has {STEP} and {SEQUENCE} for each sequence")]
    Length(usize),
    #[error("rows {0} in a plan; 0, 1 and 2 are known")]
    Rows(u8),
    #[error("work {0} in a step; 0 and 1 are known")]
    Work(u8),
}

/// Longest encoding of a plan of so many sequences.
pub(crate) fn longest(sequences: u32) -> usize {
    STEP + SEQUENCE * sequences as usize
}

pub(crate) fn write(Step { work, plan }: &Step) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STEP + SEQUENCE * plan.sequences.len());
    bytes.push(match work {
        Work::Layers => 0,
        Work::Head => 1,
    });
    bytes.extend(plan.step.to_le_bytes());
    for SequencePlan { slot, start, tokens, rows } in &plan.sequences {
        for number in [slot, start, tokens] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.push(code(*rows));
    }
    bytes
}

pub(crate) fn read(bytes: &[u8]) -> Result<Step, StepBytesError> {
    let wrong = StepBytesError::Length(bytes.len());
    let (&[work, ref step @ ..], rest) = bytes.split_first_chunk::<STEP>().ok_or(wrong)?;
    let (sequences, []) = rest.as_chunks::<SEQUENCE>() else { return Err(wrong) };
    let sequences = sequences.iter().map(sequence).collect::<Result<_, _>>()?;
    let work = match work {
        0 => Work::Layers,
        1 => Work::Head,
        other => return Err(StepBytesError::Work(other)),
    };
    let step = step.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok(Step { work, plan: BatchPlan { step, sequences } })
}

fn sequence(bytes: &[u8; SEQUENCE]) -> Result<SequencePlan, StepBytesError> {
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let rows = match bytes[SEQUENCE - 1] {
        0 => Rows::None,
        1 => Rows::Last,
        2 => Rows::All,
        other => return Err(StepBytesError::Rows(other)),
    };
    Ok(SequencePlan { slot: number(0), start: number(4), tokens: number(8), rows })
}

fn code(rows: Rows) -> u8 {
    match rows {
        Rows::None => 0,
        Rows::Last => 1,
        Rows::All => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_comes_back_as_it_was() {
        let sequences: Vec<_> = [Rows::None, Rows::Last, Rows::All]
            .into_iter()
            .zip(0..)
            .map(|(rows, slot)| SequencePlan { slot, start: u32::MAX, tokens: 3, rows })
            .collect();
        for work in [Work::Layers, Work::Head] {
            let step = Step { work, plan: BatchPlan { step: u64::MAX - 1, sequences: Vec::clone(&sequences) } };
            let bytes = write(&step);
            assert_eq!(bytes.len(), longest(3));
            assert_eq!(read(&bytes), Ok(step));
        }
    }

    #[test]
    fn bytes_that_are_no_step_are_told() {
        assert_eq!(read(&[]), Err(StepBytesError::Length(0)));
        assert_eq!(read(&[0; STEP + 1]), Err(StepBytesError::Length(STEP + 1)));
        let mut bytes = [0; STEP + SEQUENCE];
        bytes[STEP + SEQUENCE - 1] = 9;
        assert_eq!(read(&bytes), Err(StepBytesError::Rows(9)));
        bytes[0] = 2;
        bytes[STEP + SEQUENCE - 1] = 0;
        assert_eq!(read(&bytes), Err(StepBytesError::Work(2)));
    }
}
