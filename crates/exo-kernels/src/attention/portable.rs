//! Attention in plain Rust.

use half::f16;

use super::state::State;
use super::{Attending, AttentionShape, SEGMENT};
use crate::cpu::Cpu;
use crate::kv_cache::{KvCache, PAGE};
use crate::lanes::{exp, max};
use crate::share::Shared;

/// Every pair of row and head is one item.
pub(super) fn attention(
    cpu: &Cpu,
    shape: &AttentionShape,
    q: &[f32],
    sequences: &[Attending<'_>],
    out: &Shared<'_, f32>,
) {
    let width = shape.n_heads * shape.head_dim;
    let mut first_row = 0;
    for &Attending { cache, rows } in sequences {
        cpu.pool().chunks(rows * shape.n_heads, 1, |_, items| {
            for item in items {
                let (row, head) = (item / shape.n_heads, item % shape.n_heads);
                let start = (first_row + row) * width + head * shape.head_dim;
                // SAFETY: every pair of row and head is handed out once.
                let out = unsafe { out.part(start..start + shape.head_dim) };
                let kv_head = head / (shape.n_heads / shape.n_kv_heads);
                attend(shape, &q[start..][..shape.head_dim], cache, kv_head, cache.len() - rows + row + 1, out);
            }
        });
        first_row += rows;
    }
}

/// One head of one row, over the first `len` positions.
fn attend(shape: &AttentionShape, q: &[f32], cache: &KvCache, head: usize, len: usize, out: &mut [f32]) {
    out.fill(0.0);
    let mut whole = State { largest: f32::NEG_INFINITY, total: [0.0; 16], out };
    let mut segment_out = vec![0.0; shape.head_dim];
    for segment in (0..len).step_by(SEGMENT) {
        segment_out.fill(0.0);
        let mut state = State { largest: f32::NEG_INFINITY, total: [0.0; 16], out: &mut segment_out };
        for start in (segment..len.min(segment + SEGMENT)).step_by(PAGE) {
            let (keys, values) = (cache.keys(start / PAGE, head), cache.values(start / PAGE, head));
            page(shape, q, keys, values, PAGE.min(len - start), &mut state);
        }
        whole.merge::<false>(&state);
    }
    whole.finish();
}

/// The first `len` positions of a page.
fn page(shape: &AttentionShape, q: &[f32], keys: &[u16], values: &[u16], len: usize, state: &mut State<'_>) {
    let mut scores = [0.0; PAGE];
    for (column, q) in keys.chunks_exact(PAGE).zip(q) {
        scores.iter_mut().zip(column).for_each(|(score, &key)| *score += q * f16::from_bits(key).to_f32());
    }
    scores.iter_mut().for_each(|score| *score *= shape.scale);
    scores[len..].fill(f32::NEG_INFINITY);
    let largest = scores.as_chunks::<16>().0.iter().map(max).fold(f32::NEG_INFINITY, f32::max);
    state.raise::<false>(largest);
    for (position, row) in values.chunks_exact(shape.head_dim).enumerate().take(len) {
        let weight = exp::<false>(scores[position] - state.largest);
        state.total[position % 16] += weight;
        state.out.iter_mut().zip(row).for_each(|(out, &value)| *out += weight * f16::from_bits(value).to_f32());
    }
}
