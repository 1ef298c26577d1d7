//! The merge loop that both families share: neighbours merge, the best pair first, until no pair is left.

use std::collections::BinaryHeap;

/// A pair of neighbours that may merge. The heap takes the greatest: the greatest `priority`, and of equals the one
/// furthest left.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair<P> {
    priority: P,
    position: std::cmp::Reverse<u32>,
    /// Symbols at the time; a pair whose symbols have changed since is stale.
    left: u32,
    right: u32,
    merged: u32,
}

/// Merges `symbols` in place. `find` tells priority and symbol of the merger of two neighbours, given as (symbol,
/// first item, end item) each. Takes n log n steps: every merge adds at most two pairs to the heap.
pub(super) fn merge_all<P: Ord>(symbols: &mut Vec<u32>, find: impl Fn(Part, Part) -> Option<(P, u32)>) {
    let count = symbols.len();
    let mut parts = Parts::new(symbols);
    let mut heap = BinaryHeap::new();
    for left in 1..count {
        heap.extend(parts.pair(left - 1, left, &find));
    }
    while let Some(pair) = heap.pop() {
        let left = pair.position.0 as usize;
        let right = parts.next[left] as usize;
        let is_stale = parts.symbols[left] != pair.left || right >= count || parts.symbols[right] != pair.right;
        if is_stale {
            continue;
        }
        parts.join(left, right, pair.merged);
        if let Some(previous) = parts.previous(left) {
            heap.extend(parts.pair(previous, left, &find));
        }
        let next = parts.next[left] as usize;
        if next < count {
            heap.extend(parts.pair(left, next, &find));
        }
    }
    parts.symbols.retain(|&symbol| symbol != GONE);
}

/// A symbol and the range of initial symbols that it covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) symbol: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Marks a symbol that merged into its left neighbour.
const GONE: u32 = u32::MAX;

/// A linked list over the initial symbols.
struct Parts<'a> {
    symbols: &'a mut Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
}

impl<'a> Parts<'a> {
    fn new(symbols: &'a mut Vec<u32>) -> Self {
        let count = symbols.len() as u32;
        Self { symbols, next: (1..=count).collect(), previous: (0..count).map(|index| index.wrapping_sub(1)).collect() }
    }

    fn part(&self, index: usize) -> Part {
        Part { symbol: self.symbols[index], start: index, end: self.next[index] as usize }
    }

    fn pair<P>(&self, left: usize, right: usize, find: &impl Fn(Part, Part) -> Option<(P, u32)>) -> Option<Pair<P>> {
        let (left, right) = (self.part(left), self.part(right));
        let (priority, merged) = find(left, right)?;
        let position = std::cmp::Reverse(left.start as u32);
        Some(Pair { priority, position, left: left.symbol, right: right.symbol, merged })
    }

    fn join(&mut self, left: usize, right: usize, merged: u32) {
        self.symbols[left] = merged;
        self.symbols[right] = GONE;
        let after = self.next[right];
        self.next[left] = after;
        if let Some(previous) = self.previous.get_mut(after as usize) {
            *previous = left as u32;
        }
    }

    fn previous(&self, index: usize) -> Option<usize> {
        let previous = self.previous[index] as usize;
        (previous < self.symbols.len()).then_some(previous)
    }
}
