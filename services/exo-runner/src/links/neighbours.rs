//! Links by rank, while they come in.

use exo_tensor_link::{Link, LinkSender};
use std::collections::BTreeMap;
use std::ops::Range;

/// Links that steps go out over.
#[derive(Default)]
pub(crate) struct Nexts(BTreeMap<u32, LinkSender>);

impl Nexts {
    pub(super) fn add(&mut self, rank: u32, sender: LinkSender) {
        self.0.insert(rank, sender);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn has(&self, rank: u32) -> bool {
        self.0.contains_key(&rank)
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut LinkSender> {
        self.0.values_mut()
    }

    /// Those to ranks of that range, in order; they are another's then.
    pub(super) fn take(&mut self, ranks: Range<u32>) -> Vec<LinkSender> {
        let (taken, kept) = std::mem::take(&mut self.0).into_iter().partition(|(rank, _)| ranks.contains(rank));
        self.0 = kept;
        BTreeMap::into_values(taken).collect()
    }
}

/// Links to the ranks that share this one's layers.
#[derive(Default)]
pub(crate) struct Group(BTreeMap<u32, Link>);

impl Group {
    pub(super) fn add(&mut self, rank: u32, link: Link) {
        self.0.insert(rank, link);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn has(&self, rank: u32) -> bool {
        self.0.contains_key(&rank)
    }

    /// What rank `own` of the group does together with the others.
    pub(super) fn take(&mut self, own: usize) -> exo_tensor_link::Group<Link> {
        exo_tensor_link::Group::new(own, std::mem::take(&mut self.0).into_values().collect())
    }
}
