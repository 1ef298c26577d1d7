//! What was computed before, by the tokens that it was computed for: a radix tree of blocks, as in SGLang's RadixAttention
//! (Zheng et al. 2023), with whole blocks as its edges.
//!
//! Only numbers are kept here. Every rank has the keys and values of its own layers under the same numbers.

use std::collections::BTreeMap;

use crate::plan::BLOCK;

/// A block: these tokens, behind those of the blocks above it.
#[derive(Debug)]
struct Node {
    above: Option<u32>,
    tokens: Box<[u32]>,
    below: BTreeMap<Box<[u32]>, u32>,
    /// Slots that hold it.
    holders: u32,
    /// When it was last found or made.
    used: u64,
}

/// The tree.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    nodes: BTreeMap<u32, Node>,
    first: BTreeMap<Box<[u32]>, u32>,
    /// Blocks so far: none gets the number of one that was.
    numbered: u32,
    /// Counts what is done.
    now: u64,
}

impl Prefixes {
    /// Number of blocks.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The blocks that `tokens` begin with, from the first on.
    pub(super) fn find(&mut self, tokens: &[u32]) -> Vec<u32> {
        self.now += 1;
        let (mut found, mut below) = (Vec::new(), &self.first);
        for tokens in tokens.chunks_exact(BLOCK) {
            let Some(&block) = below.get(tokens) else { break };
            found.push(block);
            let Some(node) = self.nodes.get(&block) else { break };
            below = &node.below;
        }
        for block in &found {
            self.touch(*block);
        }
        found
    }

    /// The block of these tokens behind block `above`, a new one if there is none. None when all numbers are given.
    pub(super) fn get_or_insert(&mut self, above: Option<u32>, tokens: &[u32]) -> Option<u32> {
        self.now += 1;
        let siblings = match above {
            Some(above) => &mut self.nodes.get_mut(&above)?.below,
            None => &mut self.first,
        };
        if let Some(&block) = siblings.get(tokens) {
            self.touch(block);
            return Some(block);
        }
        self.numbered = self.numbered.checked_add(1)?;
        let tokens: Box<[u32]> = tokens.into();
        siblings.insert(tokens.clone(), self.numbered);
        let node = Node { above, tokens, below: BTreeMap::new(), holders: 0, used: self.now };
        self.nodes.insert(self.numbered, node);
        Some(self.numbered)
    }

    /// A slot holds that block.
    pub(super) fn hold(&mut self, block: u32) {
        if let Some(node) = self.nodes.get_mut(&block) {
            node.holders += 1;
        }
    }

    /// A slot does not any more.
    pub(super) fn let_go(&mut self, block: u32) {
        if let Some(node) = self.nodes.get_mut(&block) {
            node.holders = node.holders.saturating_sub(1);
        }
    }

    /// Forgets the block unused for longest of those that no slot holds and that none stands behind.
    pub(super) fn forget_oldest(&mut self) -> Option<u32> {
        let free = self.nodes.iter().filter(|(_, node)| node.holders == 0 && node.below.is_empty());
        let block = *free.min_by_key(|(_, node)| node.used)?.0;
        let node = self.nodes.remove(&block)?;
        let siblings = match node.above {
            Some(above) => self.nodes.get_mut(&above).map(|above| &mut above.below),
            None => Some(&mut self.first),
        };
        siblings.and_then(|siblings| siblings.remove(&node.tokens));
        Some(block)
    }

    /// Forgets all; numbers go on.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.first.clear();
    }

    fn touch(&mut self, block: u32) {
        if let Some(node) = self.nodes.get_mut(&block) {
            node.used = self.now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of one word each.
    fn words(words: &[u32]) -> Vec<u32> {
        words.iter().flat_map(|word| [*word; BLOCK]).collect()
    }

    fn insert(prefixes: &mut Prefixes, tokens: &[u32]) -> Vec<u32> {
        let mut path = Vec::new();
        for tokens in tokens.chunks_exact(BLOCK) {
            path.push(prefixes.get_or_insert(path.last().copied(), tokens).expect("a number"));
        }
        path
    }

    #[test]
    fn texts_that_begin_the_same_share_their_first_blocks() {
        let mut prefixes = Prefixes::default();
        assert_eq!(insert(&mut prefixes, &words(&[1, 2, 3])), [1, 2, 3]);
        assert_eq!(insert(&mut prefixes, &words(&[1, 2, 4])), [1, 2, 4]);
        assert_eq!(insert(&mut prefixes, &words(&[2, 3])), [5, 6], "the same words behind others are others");
        assert_eq!(prefixes.find(&words(&[1, 2, 4, 9])), [1, 2, 4]);
        assert_eq!(prefixes.find(&words(&[1, 2])[..2 * BLOCK - 1]), [1], "part of a block is none");
        assert_eq!(prefixes.find(&words(&[3])), [0; 0]);
        assert_eq!(prefixes.len(), 6);
    }

    #[test]
    fn the_oldest_that_nobody_needs_is_forgotten_from_its_end_on() {
        let mut prefixes = Prefixes::default();
        insert(&mut prefixes, &words(&[1, 2]));
        insert(&mut prefixes, &words(&[3, 4]));
        prefixes.find(&words(&[1, 2]));
        prefixes.hold(2);
        assert_eq!([0; 3].map(|_| prefixes.forget_oldest()), [Some(4), Some(3), None]);
        prefixes.let_go(2);
        assert_eq!([0; 3].map(|_| prefixes.forget_oldest()), [Some(2), Some(1), None]);
        assert_eq!(insert(&mut prefixes, &words(&[1])), [5], "no number is given twice");
    }
}
