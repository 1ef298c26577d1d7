//! What of every layer a rank computes, and how the shares of all ranks come together.

use std::ops::Range;

use super::StageError;
use crate::{
    config::ModelConfig,
    device::Device,
    load_error::LoadError,
    tensor::{Share, TensorGroup},
};

/// Rows of matrices are shared out in blocks of so many: kernels work on several at a time.
const BLOCK: usize = 32;

/// The shares of all ranks, in the order of the ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    rank: usize,
    /// Query heads.
    heads: Vec<Range<usize>>,
    /// Key and value heads; those that the query heads of several ranks use are on each of them.
    kv_heads: Vec<Range<usize>>,
    /// Rows of the feed-forward network, of each expert.
    feed_forward: Vec<Range<usize>>,
    /// Of the hidden states.
    hidden: Vec<Range<usize>>,
    /// Tokens.
    vocabulary: Vec<Range<usize>>,
    head_width: usize,
}

/// What is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Outputs of the attention: the heads.
    Attended,
    /// The feed-forward network's.
    FeedForward,
    /// The hidden states.
    Hidden,
    /// Logits.
    Vocabulary,
}

impl Split {
    /// How `share.size` ranks share layers of that shape.
    pub(crate) fn new(config: &ModelConfig, share: Share) -> Result<Self, LoadError> {
        let Share { rank, size } = share;
        let refused = LoadError::Share { rank, size, heads: config.heads };
        if rank >= size || size > config.heads {
            return Err(refused);
        }
        let (heads, kv_heads) = heads(config.heads, config.kv_heads, size);
        let [feed_forward, hidden, vocabulary] =
            [config.feed_forward, config.hidden, config.vocabulary].map(|rows| blocks(rows, size));
        let all = [&heads, &kv_heads, &feed_forward, &hidden, &vocabulary];
        if all.into_iter().flatten().any(Range::is_empty) {
            return Err(refused);
        }
        Ok(Self { rank, heads, kv_heads, feed_forward, hidden, vocabulary, head_width: config.head_width })
    }

    /// Whether there is nobody to share with.
    pub(crate) fn is_whole(&self) -> bool {
        self.heads.len() == 1
    }

    /// This rank's query heads.
    pub(crate) fn heads(&self) -> Range<usize> {
        self.heads[self.rank].clone()
    }

    /// This rank's key and value heads.
    pub(crate) fn kv_heads(&self) -> Range<usize> {
        self.kv_heads[self.rank].clone()
    }

    /// Rows of matrices that make this rank's query heads.
    pub(crate) fn query_rows(&self) -> Range<usize> {
        self.wide(self.heads())
    }

    /// Rows of matrices that make this rank's key heads, or value heads.
    pub(crate) fn kv_rows(&self) -> Range<usize> {
        self.wide(self.kv_heads())
    }

    /// This rank's rows of that kind.
    pub(crate) fn rows(&self, kind: Kind) -> Range<usize> {
        self.all_rows(kind, self.rank)
    }

    /// The largest part of any matrix that this rank holds, but for those of keys and values: 1 is the whole.
    pub(crate) fn largest_part(&self) -> f64 {
        let part = |ranges: &[Range<usize>]| {
            let whole = ranges.iter().map(|range| range.end).max().unwrap_or(1);
            ranges[self.rank].len() as f64 / whole.max(1) as f64
        };
        [&self.heads, &self.feed_forward, &self.hidden].map(|ranges| part(ranges)).into_iter().fold(0.0, f64::max)
    }

    /// Rows of the key matrix beyond that part: those that other ranks have too.
    pub(crate) fn repeated_key_rows(&self) -> usize {
        let all = self.kv_heads.last().map_or(0, |last| last.end) * self.head_width;
        self.kv_rows().len().saturating_sub((all as f64 * self.largest_part()) as usize)
    }

    fn all_rows(&self, kind: Kind, rank: usize) -> Range<usize> {
        match kind {
            Kind::Attended => self.wide(self.heads[rank].clone()),
            Kind::FeedForward => self.feed_forward[rank].clone(),
            Kind::Hidden => self.hidden[rank].clone(),
            Kind::Vocabulary => self.vocabulary[rank].clone(),
        }
    }

    fn wide(&self, heads: Range<usize>) -> Range<usize> {
        heads.start * self.head_width..heads.end * self.head_width
    }

    fn widths(&self, kind: Kind) -> Vec<usize> {
        (0..self.heads.len()).map(|rank| self.all_rows(kind, rank).len()).collect()
    }
}

/// Query heads and key heads of every rank. Ranks get whole groups of the query heads that share a key head; where there
/// are more ranks than key heads, several share a group.
fn heads(heads: usize, kv_heads: usize, size: usize) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let group = heads / kv_heads;
    if kv_heads >= size {
        let kv = even(0..kv_heads, size);
        return (kv.iter().map(|kv| kv.start * group..kv.end * group).collect(), kv);
    }
    let ranks = even(0..size, kv_heads);
    let of_group = ranks.iter().enumerate().flat_map(|(kv, ranks)| {
        even(kv * group..(kv + 1) * group, ranks.len()).into_iter().map(move |heads| (heads, kv..kv + 1))
    });
    of_group.unzip()
}

/// As many parts, which differ by one at most.
fn even(range: Range<usize>, parts: usize) -> Vec<Range<usize>> {
    let length = range.len();
    (0..parts).map(|part| range.start + length * part / parts..range.start + length * (part + 1) / parts).collect()
}

/// The same in blocks, where there are enough.
fn blocks(rows: usize, parts: usize) -> Vec<Range<usize>> {
    let block = if rows / BLOCK >= parts { BLOCK } else { 1 };
    let parts = even(0..rows.div_ceil(block), parts);
    parts.into_iter().map(|part| (part.start * block).min(rows)..(part.end * block).min(rows)).collect()
}

/// Brings shares together over a group.
pub(crate) struct Sharing<'a> {
    pub(crate) split: &'a Split,
    pub(crate) group: &'a mut dyn TensorGroup,
    pub(crate) room: &'a mut Room,
    /// Rows of the step.
    pub(crate) rows: usize,
}

/// Room for what travels.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The parts, one behind the other.
    parts: Vec<f32>,
    /// The rows that they make.
    rows: Vec<f32>,
}

impl Sharing<'_> {
    /// Makes the rows of `whole` of the parts of all ranks, of which `own` is this one's.
    pub(crate) fn all<D: Device>(
        &mut self,
        device: &mut D,
        kind: Kind,
        count: usize,
        own: &D::Buffer,
        whole: &mut D::Buffer,
    ) -> Result<(), StageError> {
        let widths = self.split.widths(kind);
        let parts = self.fill(device, count, &widths, own);
        self.group.all_gather(&parts, &mut self.room.parts).map_err(StageError::ranks)?;
        device.write(self.room.interleave(count, &widths), whole);
        Ok(())
    }

    /// The same for the leader, out of the device; the others get what they have.
    pub(crate) fn gather_to_leader<D: Device>(
        &mut self,
        device: &mut D,
        kind: Kind,
        count: usize,
        own: &D::Buffer,
        whole: &mut [f32],
    ) -> Result<(), StageError> {
        let widths = self.split.widths(kind);
        let parts = self.fill(device, count, &widths, own);
        self.group.gather(&parts, &mut self.room.parts).map_err(StageError::ranks)?;
        whole.copy_from_slice(self.room.interleave(count, &widths));
        Ok(())
    }

    /// Puts this rank's part where it belongs; the lengths of all parts.
    fn fill<D: Device>(&mut self, device: &mut D, count: usize, widths: &[usize], own: &D::Buffer) -> Vec<usize> {
        let parts: Vec<usize> = widths.iter().map(|width| width * count).collect();
        let start = parts[..self.split.rank].iter().sum::<usize>();
        self.room.parts.resize(parts.iter().sum(), 0.0);
        device.read(own, &mut self.room.parts[start..start + parts[self.split.rank]]);
        parts
    }
}

impl Room {
    /// Rows of which each rank has some columns, out of its block of them.
    fn interleave(&mut self, count: usize, widths: &[usize]) -> &[f32] {
        // One row lies as it has to.
        if count == 1 {
            return &self.parts;
        }
        let whole: usize = widths.iter().sum();
        self.rows.resize(count * whole, 0.0);
        let (mut block, mut column) = (0, 0);
        for &width in widths {
            for (row, part) in self.parts[block..block + count * width].chunks_exact(width.max(1)).enumerate() {
                self.rows[row * whole + column..][..width].copy_from_slice(part);
            }
            (block, column) = (block + count * width, column + width);
        }
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn heads_stay_with_their_keys() {
        let check = |(all, kv, size), expect: &[(Range<usize>, Range<usize>)]| {
            let (heads, kv_heads) = heads(all, kv, size);
            assert_eq!(heads.into_iter().zip(kv_heads).collect::<Vec<_>>(), expect, "{all} and {kv} over {size}");
        };
        check((8, 4, 1), &[(0..8, 0..4)]);
        check((8, 4, 2), &[(0..4, 0..2), (4..8, 2..4)]);
        check((8, 4, 3), &[(0..2, 0..1), (2..4, 1..2), (4..8, 2..4)]);
        check((8, 2, 3), &[(0..4, 0..1), (4..6, 1..2), (6..8, 1..2)]);
        check((8, 2, 4), &[(0..2, 0..1), (2..4, 0..1), (4..6, 1..2), (6..8, 1..2)]);
        check((3, 1, 3), &[(0..1, 0..1), (1..2, 0..1), (2..3, 0..1)]);
    }

    proptest! {
        #[test]
        fn shares_are_the_whole_in_order(rows in 1usize..5000, parts in 1usize..9) {
            let shares = blocks(rows, parts);
            prop_assert_eq!(shares.len(), parts);
            let mut next = 0;
            for share in &shares {
                prop_assert_eq!(share.start, next);
                next = share.end;
            }
            prop_assert_eq!(next, rows);
            let longest = shares.iter().map(Range::len).max().unwrap_or(0);
            prop_assert!(longest <= rows.div_ceil(parts) + BLOCK);
        }

        #[test]
        fn every_head_is_computed_once_beside_its_keys(kv in 1usize..9, group in 1usize..9, size in 1usize..17) {
            prop_assume!(size <= kv * group);
            let (heads, kv_heads) = heads(kv * group, kv, size);
            let mut next = 0;
            for (heads, kv_heads) in heads.iter().zip(&kv_heads) {
                prop_assert_eq!(heads.start, next);
                next = heads.end;
                if !heads.is_empty() {
                    prop_assert!(heads.start / group == kv_heads.start && (heads.end - 1) / group + 1 == kv_heads.end);
                    prop_assert_eq!(heads.len() % kv_heads.len(), 0);
                }
            }
            prop_assert_eq!(next, kv * group);
        }

        #[test]
        fn rows_are_put_together_column_by_column(count in 1usize..5, widths in proptest::collection::vec(0usize..6, 1..4)) {
            let whole: usize = widths.iter().sum();
            let rows: Vec<f32> = (0..count * whole).map(|value| value as f32).collect();
            let mut room = Room::default();
            let mut column = 0;
            for width in &widths {
                for row in rows.chunks_exact(whole.max(1)) {
                    room.parts.extend(&row[column..column + width]);
                }
                column += width;
            }
            prop_assert_eq!(room.interleave(count, &widths), rows);
        }
    }
}
