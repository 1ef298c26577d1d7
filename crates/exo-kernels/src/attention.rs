//! Attention of queries over a cache of keys and values.

#[expect(clippy::needless_range_loop, reason = "the loops run over registers, several arrays at a time")]
mod kernel;
mod stored;

use crate::cpu::Cpu;
use crate::kv_cache::{KvCache, Layout};
use crate::share::Shared;

/// Positions after which partial results are merged, always: it bounds the work that one thread takes on, and as it
/// does not depend on the number of threads or rows, neither does any result.
pub(crate) const SEGMENT: usize = 1024;

/// The heads of a model (or of a rank's share of it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads; a multiple of `n_kv_heads`.
    pub n_heads: usize,
    /// Heads of keys and values.
    pub n_kv_heads: usize,
    /// Elements per head.
    pub head_dim: usize,
    /// Factor of the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
}

/// What bends the scores of a layer, where anything does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AttentionBounds<'a> {
    /// A row attends to so many positions at most, its own included; `None` to all before it.
    pub window: Option<usize>,
    /// Scores become `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// For each query head a score without a value: it takes its share of the weights, and gives nothing.
    pub sinks: Option<&'a [f32]>,
    /// A row also attends to the rows behind it: to its whole sequence. There is no window then.
    pub sees_ahead: bool,
}

/// The rows of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Attending<'a> {
    /// The sequence's cache, to which the keys and values of these rows have already been appended.
    pub cache: &'a KvCache,
    /// How many rows of this call belong to it: the last ones of the cache. Each attends to all positions up to its own, or to
    /// all.
    pub rows: usize,
}

/// Attention with grouped queries, causal unless rows see ahead, for rows of several sequences of any lengths.
///
/// `q` and `out` are rows of `n_heads * head_dim`, sequence after sequence.
///
/// # Panics
/// If the sizes do not fit each other.
pub fn attention(
    cpu: &Cpu,
    shape: &AttentionShape,
    bounds: &AttentionBounds<'_>,
    q: &[f32],
    sequences: &[Attending<'_>],
    out: &mut [f32],
) {
    let width = shape.n_heads * shape.head_dim;
    let n_rows: usize = sequences.iter().map(|sequence| sequence.rows).sum();
    assert!(q.len() == n_rows * width && out.len() == q.len(), "{n_rows} rows of {width}");
    assert!(shape.n_heads.is_multiple_of(shape.n_kv_heads), "{} heads in groups", shape.n_heads);
    assert!(bounds.window != Some(0), "a row attends to itself at least");
    assert!(
        bounds.sinks.is_none_or(|sinks| sinks.len() == shape.n_heads),
        "a sink for each of {} heads",
        shape.n_heads
    );
    assert!(bounds.window.is_none() || !bounds.sees_ahead, "a window ends with the row");
    for Attending { cache, rows } in sequences {
        assert!(cache.len() >= *rows, "the cache has {} positions, {rows} of them new", cache.len());
        let heads = Layout { n_kv_heads: shape.n_kv_heads, head_dim: shape.head_dim };
        assert_eq!(cache.layout, heads, "the cache's heads");
    }
    let out = Shared::new(out);
    let group = shape.n_heads / shape.n_kv_heads;
    cpu.pool().chunks(n_rows * shape.n_kv_heads, 1, |_, items| {
        for item in items {
            let (sequence, first_row, kv_head, row) = place(sequences, shape.n_kv_heads, item);
            let start = (first_row + row) * width + kv_head * group * shape.head_dim;
            let heads = start..start + group * shape.head_dim;
            let behind = if bounds.sees_ahead { 0 } else { sequence.rows - row - 1 };
            let len = sequence.cache.len() - behind;
            let item = kernel::Item {
                shape,
                cache: sequence.cache,
                kv_head,
                first: bounds.window.map_or(0, |window| len.saturating_sub(window)),
                len,
                q: &q[heads.clone()],
                soft_cap: bounds.soft_cap,
                sinks: bounds.sinks.map(|sinks| &sinks[kv_head * group..(kv_head + 1) * group]),
            };
            // SAFETY: every pair of row and head of keys is handed out once.
            kernel::attend(cpu.isa(), &item, unsafe { out.part(heads) });
        }
    });
}

/// The sequence, its first row in the call, the head of keys and the row in the sequence of an item. Rows that share a
/// head follow each other, so that its keys and values stay in the cache.
fn place<'a>(sequences: &[Attending<'a>], n_kv_heads: usize, item: usize) -> (Attending<'a>, usize, usize, usize) {
    let (mut item, mut first_row) = (item, 0);
    for sequence in sequences {
        let items = sequence.rows * n_kv_heads;
        if item < items {
            return (*sequence, first_row, item / sequence.rows, item % sequence.rows);
        }
        item -= items;
        first_row += sequence.rows;
    }
    unreachable!("items are counted from the same sequences")
}
