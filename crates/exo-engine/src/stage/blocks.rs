//! Keys and values that several sequences begin with, under the numbers that rank 0 gave them.

use std::collections::{BTreeMap, BTreeSet};

use super::StageLimits;
use crate::{
    device::Device,
    plan::{BLOCK, BatchPlan, BlockRestore, BlockShare, CacheMoves, PlanError},
};

/// The blocks of a stage: of each the positions of every layer.
pub(super) struct Blocks<D: Device>(BTreeMap<u32, Vec<D::Block>>);

impl<D: Device> Default for Blocks<D> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<D: Device> Blocks<D> {
    /// The positions that each slot holds after the moves of a plan, if they can be made; `held` are those before.
    pub(super) fn check(&self, plan: &BatchPlan, limits: StageLimits, held: &[u32]) -> Result<Vec<u32>, PlanError> {
        let (step, context) = (plan.step, limits.context as usize);
        let wrong = |slot, block, missing| PlanError::Block { step, slot, block, missing };
        // Rank 0 keeps slots and blocks within what the slots may take; some are made before others are dropped.
        let room = 2 * held.len() * context.div_ceil(BLOCK);
        let CacheMoves { clears, shares, restores, .. } = &plan.moves;
        let mut held = if *clears { vec![0; held.len()] } else { held.to_vec() };
        let kept = if *clears { 0 } else { self.0.len() };
        let mut made = BTreeSet::new();
        let is_there = |block: &u32| !clears && self.0.contains_key(block);
        for BlockShare { slot, part, block } in shares {
            let positions = held.get(*slot as usize).ok_or(wrong(*slot, *block, "the slot"))?;
            if (u64::from(*part) + 1) * BLOCK as u64 > u64::from(*positions) {
                return Err(wrong(*slot, *block, "the positions"));
            }
            if !is_there(block) && made.insert(*block) && kept + made.len() > room {
                return Err(wrong(*slot, *block, "the room"));
            }
        }
        for BlockRestore { slot, blocks } in restores {
            let positions = held.get_mut(*slot as usize).ok_or(wrong(*slot, 0, "the slot"))?;
            if let Some(block) = blocks.iter().find(|block| !is_there(block) && !made.contains(block)) {
                return Err(wrong(*slot, *block, "the block"));
            }
            if blocks.len() * BLOCK > context {
                return Err(wrong(*slot, 0, "the room"));
            }
            *positions = (blocks.len() * BLOCK) as u32;
        }
        Ok(held)
    }

    /// Makes the moves, which were checked, in caches of so many slots.
    pub(super) fn make(&mut self, moves: &CacheMoves, slots: usize, device: &mut D, caches: &mut [D::Cache]) {
        if moves.clears {
            self.0.clear();
            for cache in &mut *caches {
                (0..slots).for_each(|slot| device.restore(cache, slot, Vec::new()));
            }
        }
        for BlockShare { slot, part, block } in moves.shares.iter().copied() {
            let (slot, part) = (slot as usize, part as usize);
            match self.0.get(&block) {
                Some(layers) => {
                    let layers = caches.iter_mut().zip(layers);
                    layers.for_each(|(cache, block)| device.replace_block(cache, slot, part, block));
                }
                None => {
                    let layers = caches.iter().map(|cache| device.block(cache, slot, part)).collect();
                    self.0.insert(block, layers);
                }
            }
        }
        for BlockRestore { slot, blocks } in &moves.restores {
            for (layer, cache) in caches.iter_mut().enumerate() {
                let found = blocks.iter().filter_map(|block| Some(self.0.get(block)?.get(layer)?.clone()));
                device.restore(cache, *slot as usize, found.collect());
            }
        }
        moves.drops.iter().for_each(|block| drop(self.0.remove(block)));
    }
}
