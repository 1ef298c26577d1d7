//! A step as the metadata of a frame, all little-endian:
//!
//! ```text
//! work: 1 byte   step: 8   clears: 1   numbers of sequences, shares, restores and drops: 4 each
//! each sequence: slot, start, tokens: 4 each   rows: 1
//! each share: slot, part, block: 4 each
//! each restore: slot, number of blocks: 4 each   each block: 4
//! each drop: 4
//! ```

use exo_engine::{BLOCK, BatchPlan, BlockRestore, BlockShare, CacheMoves, Rows, SequencePlan, Work};
use thiserror::Error;

const STEP: usize = 26;
const SEQUENCE: usize = 13;
const SHARE: usize = 12;
const RESTORE: usize = 8;
const NUMBER: usize = 4;

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
    #[error("a step of {0} bytes, which are not those that it counts")]
    Length(usize),
    #[error("rows {0} in a plan; 0, 1 and 2 are known")]
    Rows(u8),
    #[error("work {0} in a step; 0 and 1 are known")]
    Work(u8),
    #[error("{0} where a step says yes or no; 0 and 1 are known")]
    Flag(u8),
}

/// Longest encoding of a plan of so many sequences of so many positions: each may share all its blocks and be given
/// others, and as many as both are forgotten.
pub(crate) fn longest(sequences: u32, context: u32) -> usize {
    let sequences = sequences as usize;
    let blocks = sequences.saturating_mul((context as usize).div_ceil(BLOCK));
    let moves = blocks.saturating_mul(SHARE + 3 * NUMBER);
    moves.saturating_add(STEP + (SEQUENCE + RESTORE) * sequences)
}

pub(crate) fn write(Step { work, plan }: &Step) -> Vec<u8> {
    let CacheMoves { clears, shares, restores, drops } = &plan.moves;
    let mut bytes = Vec::with_capacity(STEP + SEQUENCE * plan.sequences.len() + SHARE * shares.len());
    bytes.push(match work {
        Work::Layers => 0,
        Work::Head => 1,
    });
    bytes.extend(plan.step.to_le_bytes());
    bytes.push(u8::from(*clears));
    let counts = [plan.sequences.len(), shares.len(), restores.len(), drops.len()];
    put(&mut bytes, counts.map(|count| count as u32));
    for SequencePlan { slot, start, tokens, rows } in &plan.sequences {
        put(&mut bytes, [*slot, *start, *tokens]);
        bytes.push(code(*rows));
    }
    for BlockShare { slot, part, block } in shares {
        put(&mut bytes, [*slot, *part, *block]);
    }
    for BlockRestore { slot, blocks } in restores {
        put(&mut bytes, [*slot, blocks.len() as u32]);
        put(&mut bytes, blocks.iter().copied());
    }
    put(&mut bytes, drops.iter().copied());
    bytes
}

fn put(bytes: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>) {
    numbers.into_iter().for_each(|number| bytes.extend(number.to_le_bytes()));
}

pub(crate) fn read(bytes: &[u8]) -> Result<Step, StepBytesError> {
    let mut rest = Rest { bytes, whole: bytes.len() };
    let work = match rest.byte()? {
        0 => Work::Layers,
        1 => Work::Head,
        other => return Err(StepBytesError::Work(other)),
    };
    let step = u64::from_le_bytes(rest.take()?);
    let clears = match rest.byte()? {
        0 => false,
        1 => true,
        other => return Err(StepBytesError::Flag(other)),
    };
    let [sequences, shares, restores, drops] = [rest.number()?, rest.number()?, rest.number()?, rest.number()?];
    let plan = BatchPlan {
        step,
        sequences: rest.list(sequences, SEQUENCE, Rest::sequence)?,
        moves: CacheMoves {
            clears,
            shares: rest.list(shares, SHARE, Rest::share)?,
            restores: rest.list(restores, RESTORE, Rest::restore)?,
            drops: rest.list(drops, NUMBER, Rest::number)?,
        },
    };
    if rest.bytes.is_empty() { Ok(Step { work, plan }) } else { Err(rest.wrong()) }
}

/// What is not read yet.
struct Rest<'a> {
    bytes: &'a [u8],
    whole: usize,
}

impl Rest<'_> {
    fn wrong(&self) -> StepBytesError {
        StepBytesError::Length(self.whole)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StepBytesError> {
        let (&taken, rest) = self.bytes.split_first_chunk().ok_or(self.wrong())?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, StepBytesError> {
        self.take().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u32, StepBytesError> {
        self.take().map(u32::from_le_bytes)
    }

    /// So many, each of `least` bytes or more: not more than there can be.
    fn list<T>(
        &mut self,
        count: u32,
        least: usize,
        read: impl Fn(&mut Self) -> Result<T, StepBytesError>,
    ) -> Result<Vec<T>, StepBytesError> {
        if count as usize > self.bytes.len() / least {
            return Err(self.wrong());
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn sequence(&mut self) -> Result<SequencePlan, StepBytesError> {
        let [slot, start, tokens] = [self.number()?, self.number()?, self.number()?];
        let rows = match self.byte()? {
            0 => Rows::None,
            1 => Rows::Last,
            2 => Rows::All,
            other => return Err(StepBytesError::Rows(other)),
        };
        Ok(SequencePlan { slot, start, tokens, rows })
    }

    fn share(&mut self) -> Result<BlockShare, StepBytesError> {
        Ok(BlockShare { slot: self.number()?, part: self.number()?, block: self.number()? })
    }

    fn restore(&mut self) -> Result<BlockRestore, StepBytesError> {
        let (slot, count) = (self.number()?, self.number()?);
        Ok(BlockRestore { slot, blocks: self.list(count, NUMBER, Self::number)? })
    }
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

    fn step(work: Work) -> Step {
        let sequences: Vec<_> = [Rows::None, Rows::Last, Rows::All]
            .into_iter()
            .zip(0..)
            .map(|(rows, slot)| SequencePlan { slot, start: u32::MAX, tokens: 3, rows })
            .collect();
        let moves = CacheMoves {
            clears: work == Work::Head,
            shares: vec![BlockShare { slot: 1, part: 0, block: 7 }],
            restores: vec![
                BlockRestore { slot: 2, blocks: vec![7, u32::MAX] },
                BlockRestore { slot: 0, blocks: vec![] },
            ],
            drops: vec![5],
        };
        Step { work, plan: BatchPlan { step: u64::MAX - 1, sequences, moves } }
    }

    #[test]
    fn a_step_comes_back_as_it_was() {
        for work in [Work::Layers, Work::Head] {
            let bytes = write(&step(work));
            assert!(bytes.len() <= longest(3, 2 * BLOCK as u32));
            assert_eq!(read(&bytes), Ok(step(work)));
        }
    }

    #[test]
    fn bytes_that_are_no_step_are_told() {
        let whole = write(&step(Work::Layers));
        for len in 0..whole.len() {
            assert_eq!(read(&whole[..len]), Err(StepBytesError::Length(len)));
        }
        assert_eq!(read(&[&whole[..], &[0]].concat()), Err(StepBytesError::Length(whole.len() + 1)));
        let check = |at: usize, byte, expect| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            assert_eq!(read(&bytes), Err(expect), "byte {at}");
        };
        check(0, 2, StepBytesError::Work(2));
        check(9, 3, StepBytesError::Flag(3));
        check(STEP + SEQUENCE - 1, 9, StepBytesError::Rows(9));
        for count in [13, 17, 21, 25] {
            check(count, 255, StepBytesError::Length(whole.len()));
        }
    }
}
