//! A plan as the metadata of a frame: the step, then 13 bytes for each sequence. All little-endian.

use exo_engine::{BatchPlan, Rows, SequencePlan};
use thiserror::Error;

const STEP: usize = 8;
const SEQUENCE: usize = 13;

/// Bytes that are no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum PlanBytesError {
    #[error("a plan of {0} bytes; it has {STEP} and {SEQUENCE} for each sequence")]
    Length(usize),
    #[error("rows {0} in a plan; 0, 1 and 2 are known")]
    Rows(u8),
}

/// Longest encoding of a plan of so many sequences.
pub(crate) fn longest(sequences: u32) -> usize {
    STEP + SEQUENCE * sequences as usize
}

pub(crate) fn write(plan: &BatchPlan) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STEP + SEQUENCE * plan.sequences.len());
    bytes.extend(plan.step.to_le_bytes());
    for SequencePlan { slot, start, tokens, rows } in &plan.sequences {
        for number in [slot, start, tokens] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.push(code(*rows));
    }
    bytes
}

pub(crate) fn read(bytes: &[u8]) -> Result<BatchPlan, PlanBytesError> {
    let wrong = PlanBytesError::Length(bytes.len());
    let (step, rest) = bytes.split_first_chunk::<STEP>().ok_or(wrong)?;
    let (sequences, []) = rest.as_chunks::<SEQUENCE>() else { return Err(wrong) };
    let sequences = sequences.iter().map(sequence).collect::<Result<_, _>>()?;
    Ok(BatchPlan { step: u64::from_le_bytes(*step), sequences })
}

fn sequence(bytes: &[u8; SEQUENCE]) -> Result<SequencePlan, PlanBytesError> {
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let rows = match bytes[SEQUENCE - 1] {
        0 => Rows::None,
        1 => Rows::Last,
        2 => Rows::All,
        other => return Err(PlanBytesError::Rows(other)),
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
    fn a_plan_comes_back_as_it_was() {
        let sequences = [Rows::None, Rows::Last, Rows::All]
            .into_iter()
            .zip(0..)
            .map(|(rows, slot)| SequencePlan { slot, start: u32::MAX, tokens: 3, rows })
            .collect();
        let plan = BatchPlan { step: u64::MAX, sequences };
        let bytes = write(&plan);
        assert_eq!(bytes.len(), longest(3));
        assert_eq!(read(&bytes), Ok(plan));
    }

    #[test]
    fn bytes_that_are_no_plan_are_told() {
        assert_eq!(read(&[]), Err(PlanBytesError::Length(0)));
        assert_eq!(read(&[0; STEP + 1]), Err(PlanBytesError::Length(STEP + 1)));
        let mut bytes = [0; STEP + SEQUENCE];
        bytes[STEP + SEQUENCE - 1] = 9;
        assert_eq!(read(&bytes), Err(PlanBytesError::Rows(9)));
    }
}
