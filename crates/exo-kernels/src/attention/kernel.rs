//! Attention of one row's heads over one head of keys and values, for every instruction set.

use std::cell::RefCell;

use super::stored::{Bytes, Halves, Stored};
use super::{AttentionShape, SEGMENT};
use crate::isa::Isa;
use crate::kv_cache::{KvCache, KvFormat, PAGE};
use crate::lanes::{exp, max, sum};
use crate::vector::{Plain, Vector};

/// Vectors of positions per page.
const VECTORS: usize = PAGE / 16;
/// Heads in one group of [`heads`], at most.
const MOST_HEADS: usize = 8;

thread_local! {
    /// The running values of one group of heads: of the whole, then of the segment.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// One row of query heads that share a head of keys and values: `q` and `out` have `group * head_dim` elements.
pub(super) struct Item<'a> {
    pub(super) shape: &'a AttentionShape,
    pub(super) cache: &'a KvCache,
    pub(super) kv_head: usize,
    /// First position that the row attends to, and the one behind the last.
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) q: &'a [f32],
    pub(super) soft_cap: Option<f32>,
    /// One for each head.
    pub(super) sinks: Option<&'a [f32]>,
}

/// What one head has seen so far, relative to its largest score.
#[derive(Clone, Copy)]
struct Seen<V> {
    largest: f32,
    /// The sum of the weights, per lane of positions.
    total: V,
}

// Inside of the kernels there are no closures: a closure is a function of its own, which is not compiled for the
// instruction set.
pub(super) fn attend(isa: Isa, item: &Item<'_>, out: &mut [f32]) {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(2 * MOST_HEADS * item.cache.value_stride(), 0.0);
        attend_with(isa, item, out, scratch);
    });
}

fn attend_with(isa: Isa, item: &Item<'_>, out: &mut [f32], scratch: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::vector::x86::{Avx2, Avx512};
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        fn avx512(item: &Item<'_>, out: &mut [f32], scratch: &mut [f32]) {
            // SAFETY: inlined into a function of its instruction set.
            unsafe { any_format::<Avx512>(item, out, scratch) }
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2(item: &Item<'_>, out: &mut [f32], scratch: &mut [f32]) {
            // SAFETY: inlined into a function of its instruction set.
            unsafe { any_format::<Avx2>(item, out, scratch) }
        }
        match isa {
            // SAFETY: an `Isa` in use comes from a `Cpu`, which is only made for one that this machine has.
            Isa::Amx | Isa::Avx512 => return unsafe { avx512(item, out, scratch) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { avx2(item, out, scratch) },
            Isa::Portable => {}
        }
    }
    let _ = isa;
    // SAFETY: needs no instruction set.
    unsafe { any_format::<Plain>(item, out, scratch) }
}

/// # Safety
/// Inlined into a function compiled for the instructions of `V`.
#[inline(always)]
unsafe fn any_format<V: Vector>(item: &Item<'_>, out: &mut [f32], scratch: &mut [f32]) {
    // SAFETY: passed on; the cache has that format.
    unsafe {
        match item.cache.format() {
            KvFormat::F16 => all_heads::<V, Halves<'_>>(item, out, scratch),
            KvFormat::Q8 => all_heads::<V, Bytes<'_>>(item, out, scratch),
        }
    }
}

/// # Safety
/// Inlined into a function compiled for the instructions of `V`.
#[inline(always)]
unsafe fn all_heads<'a, V: Vector, S: Stored<'a>>(item: &Item<'a>, out: &mut [f32], scratch: &mut [f32]) {
    let head_dim = item.shape.head_dim;
    let n = out.len() / head_dim;
    let mut head = 0;
    while head < n {
        let (rest, q, out) = (n - head, &item.q[head * head_dim..], &mut out[head * head_dim..]);
        let sinks = if let Some(sinks) = item.sinks { &sinks[head..] } else { &[] };
        // SAFETY: passed on; there are as many heads left.
        unsafe {
            if rest >= 8 && V::HEADS >= 8 {
                heads::<V, S, 8, 2>(item, q, sinks, out, scratch);
                head += 8;
            } else if rest >= 4 && V::HEADS > 4 {
                heads::<V, S, 4, 4>(item, q, sinks, out, scratch);
                head += 4;
            } else if rest >= 4 && V::HEADS == 4 {
                heads::<V, S, 4, 1>(item, q, sinks, out, scratch);
                head += 4;
            } else if rest >= 2 && V::HEADS >= 2 {
                heads::<V, S, 2, 2>(item, q, sinks, out, scratch);
                head += 2;
            } else {
                heads::<V, S, 1, 4>(item, q, sinks, out, scratch);
                head += 1;
            }
        }
    }
}

/// `R` heads, with `R * N` registers of sums.
///
/// # Safety
/// As [`all_heads`]; `q` and `out` have `R` heads, `sinks` as many or none.
#[inline(always)]
unsafe fn heads<'a, V: Vector, S: Stored<'a>, const R: usize, const N: usize>(
    item: &Item<'a>,
    q: &[f32],
    sinks: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let (head_dim, width) = (item.shape.head_dim, item.cache.value_stride());
    let (whole, part) = scratch[..2 * R * width].split_at_mut(R * width);
    whole.fill(0.0);
    // SAFETY: passed on.
    unsafe {
        let nothing = Seen { largest: f32::NEG_INFINITY, total: V::splat(0.0) };
        let mut seen = [nothing; R];
        let mut segment = item.first / SEGMENT * SEGMENT;
        while segment < item.len {
            let end = item.len.min(segment + SEGMENT);
            part.fill(0.0);
            let mut seen_part = [nothing; R];
            let mut start = segment.max(item.first / PAGE * PAGE);
            while start < end {
                page::<V, S, R, N>(item, q, start, &mut seen_part, part);
                start += PAGE;
            }
            for head in 0..R {
                let range = head * width..(head + 1) * width;
                merge(&mut seen[head], &mut whole[range.clone()], seen_part[head], &part[range]);
            }
            segment = end;
        }
        for head in 0..R {
            let mut total = sum(&seen[head].total.lanes());
            if !sinks.is_empty() {
                let over = sinks[head] - seen[head].largest;
                total += if V::FMA { exp::<true>(over) } else { exp::<false>(over) };
            }
            let by = 1.0 / total;
            for d in 0..head_dim {
                out[head * head_dim + d] = whole[head * width + d] * by;
            }
        }
    }
}

/// The positions of a page, from `start` to the end of the page or of the row's view.
///
/// # Safety
/// As [`heads`].
#[inline(always)]
unsafe fn page<'a, V: Vector, S: Stored<'a>, const R: usize, const N: usize>(
    item: &Item<'a>,
    q: &[f32],
    start: usize,
    seen: &mut [Seen<V>; R],
    values: &mut [f32],
) {
    let len = PAGE.min(item.len - start);
    // Positions of the first page that lie before the window.
    let before = item.first.saturating_sub(start);
    let mut scores = [[0.0; PAGE]; R];
    let stored = S::of(item.cache, start / PAGE, item.kv_head);
    // SAFETY: passed on; a page has `PAGE` keys and values of the head.
    unsafe {
        let mut vector = 0;
        while vector < VECTORS {
            score::<V, S, R, N>(item, q, stored, vector, &mut scores);
            vector += N;
        }
        for head in 0..R {
            let at = scores[head].as_mut_ptr();
            if let Some(cap) = item.soft_cap {
                let (cap, by) = (V::splat(cap), V::splat(1.0 / cap));
                for i in 0..VECTORS {
                    V::load(at.add(i * 16)).mul(by).tanh().mul(cap).store(at.add(i * 16));
                }
            }
            scores[head][len..].fill(f32::NEG_INFINITY);
            scores[head][..before].fill(f32::NEG_INFINITY);
            let at = scores[head].as_mut_ptr();
            let mut largest = V::load(at);
            for i in 1..VECTORS {
                largest = largest.max(V::load(at.add(i * 16)));
            }
            let width = item.cache.value_stride();
            raise(&mut seen[head], &mut values[head * width..][..width], max(&largest.lanes()));
            let base = V::splat(-seen[head].largest);
            for i in 0..VECTORS {
                V::load(at.add(i * 16)).add(base).exp().store(at.add(i * 16));
            }
            // Outside of the view the exponential is small but not zero.
            scores[head][len..].fill(0.0);
            scores[head][..before].fill(0.0);
            let at = scores[head].as_mut_ptr();
            for i in 0..VECTORS {
                seen[head].total = seen[head].total.add(V::load(at.add(i * 16)));
            }
        }
        let width = item.cache.value_stride();
        let mut column = 0;
        while column < width {
            if N == 4 && column + 64 <= width {
                weigh::<V, S, R, 4>(stored, len, &scores, column, width, values);
                column += 64;
            } else if N >= 2 && column + 32 <= width {
                weigh::<V, S, R, 2>(stored, len, &scores, column, width, values);
                column += 32;
            } else {
                weigh::<V, S, R, 1>(stored, len, &scores, column, width, values);
                column += 16;
            }
        }
    }
}

/// Scores of `N` vectors of positions.
///
/// # Safety
/// As [`page`].
#[inline(always)]
unsafe fn score<'a, V: Vector, S: Stored<'a>, const R: usize, const N: usize>(
    item: &Item<'a>,
    q: &[f32],
    stored: S,
    vector: usize,
    scores: &mut [[f32; PAGE]; R],
) {
    let head_dim = item.shape.head_dim;
    debug_assert!(q.len() >= R * head_dim);
    // SAFETY: passed on.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; R];
        for d in 0..head_dim {
            let mut vectors = [V::splat(0.0); N];
            for i in 0..N {
                vectors[i] = stored.keys::<V>(d, vector + i);
            }
            for head in 0..R {
                let q = V::splat(*q.get_unchecked(head * head_dim + d));
                for i in 0..N {
                    sums[head][i] = q.mul_add(vectors[i], sums[head][i]);
                }
            }
        }
        let scale = V::splat(item.shape.scale);
        for head in 0..R {
            for i in 0..N {
                sums[head][i].mul(scale).store(scores[head].as_mut_ptr().add((vector + i) * 16));
            }
        }
    }
}

/// Adds the weighted values of `N` vectors of columns from `column` on.
///
/// # Safety
/// As [`page`].
#[inline(always)]
unsafe fn weigh<'a, V: Vector, S: Stored<'a>, const R: usize, const N: usize>(
    stored: S,
    len: usize,
    weights: &[[f32; PAGE]; R],
    column: usize,
    width: usize,
    out: &mut [f32],
) {
    debug_assert!(out.len() == R * width && column + N * 16 <= width);
    // SAFETY: passed on.
    unsafe {
        let out = out.as_mut_ptr().add(column);
        let mut sums = [[V::splat(0.0); N]; R];
        for head in 0..R {
            for i in 0..N {
                sums[head][i] = V::load(out.add(head * width + i * 16));
            }
        }
        for position in 0..len {
            let mut vectors = [V::splat(0.0); N];
            for i in 0..N {
                vectors[i] = stored.values::<V>(position, column + i * 16);
            }
            for head in 0..R {
                let weight = V::splat(*weights.get_unchecked(head).get_unchecked(position));
                for i in 0..N {
                    sums[head][i] = weight.mul_add(vectors[i], sums[head][i]);
                }
            }
        }
        for head in 0..R {
            for i in 0..N {
                sums[head][i].store(out.add(head * width + i * 16));
            }
        }
    }
}

/// Makes room for scores up to `largest`.
///
/// # Safety
/// As [`all_heads`].
#[inline(always)]
unsafe fn raise<V: Vector>(seen: &mut Seen<V>, values: &mut [f32], largest: f32) {
    let largest = if largest > seen.largest { largest } else { seen.largest };
    let by = if V::FMA { exp::<true>(seen.largest - largest) } else { exp::<false>(seen.largest - largest) };
    // SAFETY: passed on.
    seen.total = unsafe { seen.total.mul(V::splat(by)) };
    for value in values {
        *value *= by;
    }
    seen.largest = largest;
}

/// Adds what was seen in a later part.
///
/// # Safety
/// As [`all_heads`].
#[inline(always)]
unsafe fn merge<V: Vector>(seen: &mut Seen<V>, values: &mut [f32], part: Seen<V>, part_values: &[f32]) {
    // SAFETY: passed on.
    unsafe {
        raise(seen, values, part.largest);
        let by = part.largest - seen.largest;
        let by = if V::FMA { exp::<true>(by) } else { exp::<false>(by) };
        seen.total = part.total.mul_add(V::splat(by), seen.total);
        for (value, part) in values.iter_mut().zip(part_values) {
            *value += part * by;
        }
    }
}
