//! Keys and values of past positions.

use std::ops::Range;
use std::sync::Arc;

use half::f16;

use crate::cpu::Cpu;
use crate::share::Shared;

/// Positions per page.
pub const PAGE: usize = 64;

/// Keys and values of one sequence in one layer, as halves.
///
/// Kept in pages of [`PAGE`] positions, which caches can have in common: a prompt that several requests begin with is
/// computed and stored once. In a page, per head, keys stand as `[head_dim][PAGE]` (one vector load has one element of
/// many positions: scores need no sum over lanes) and values as `[PAGE][head_dim, up to a multiple of 16]`. Values beyond the range of a half
/// are stored as its largest number.
#[derive(Clone, Debug)]
pub struct KvCache {
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) pages: Vec<Arc<Page>>,
    len: usize,
}

/// A full page, which caches have in common. A clone is the same page.
#[derive(Clone, Debug)]
pub struct KvPage(Arc<Page>);

/// Keys and values of [`PAGE`] positions: all heads' keys, then all heads' values, as bits of halves.
#[derive(Clone, Debug)]
pub(crate) struct Page(Vec<u16>);

impl KvCache {
    /// No positions yet; takes no memory before the first one.
    pub fn new(n_kv_heads: usize, head_dim: usize) -> Self {
        Self { n_kv_heads, head_dim, pages: Vec::new(), len: 0 }
    }

    /// Positions stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory of its pages; those that caches have in common count for each.
    pub fn bytes(&self) -> usize {
        self.pages.len() * Self::bytes_for(self.n_kv_heads, self.head_dim, 1)
    }

    /// Memory that `positions` positions take.
    pub fn bytes_for(n_kv_heads: usize, head_dim: usize, positions: usize) -> usize {
        positions.div_ceil(PAGE) * page_elements(n_kv_heads, head_dim) * size_of::<u16>()
    }

    /// Forgets all positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.pages.truncate(self.len.div_ceil(PAGE));
    }

    /// A page that is full. What is appended to this cache later does not change it.
    ///
    /// # Panics
    /// If the cache does not fill that page.
    pub fn page(&self, index: usize) -> KvPage {
        assert!((index + 1) * PAGE <= self.len, "page {index} of {} positions", self.len);
        KvPage(self.pages[index].clone())
    }

    /// Takes a page from elsewhere in place of its own, which is full and the same.
    ///
    /// # Panics
    /// If the cache does not fill that page.
    pub fn replace_page(&mut self, index: usize, page: KvPage) {
        assert!((index + 1) * PAGE <= self.len, "page {index} of {} positions", self.len);
        self.pages[index] = page.0;
    }

    /// Holds these pages of a cache of the same shape, and nothing else.
    pub fn begin_with(&mut self, pages: Vec<KvPage>) {
        self.len = pages.len() * PAGE;
        self.pages = pages.into_iter().map(|page| page.0).collect();
    }

    /// Appends positions: `keys` and `values` are rows of `n_kv_heads * head_dim`.
    ///
    /// # Panics
    /// If they are not the same whole number of rows.
    pub fn append(&mut self, cpu: &Cpu, keys: &[f32], values: &[f32]) {
        let width = self.n_kv_heads * self.head_dim;
        assert!(keys.len() == values.len() && keys.len().is_multiple_of(width), "{} in rows of {width}", keys.len());
        let (first, n_rows) = (self.len, keys.len() / width);
        if n_rows == 0 {
            return;
        }
        let end = first + n_rows;
        self.pages
            .resize_with(end.div_ceil(PAGE), || Arc::new(Page(vec![0; page_elements(self.n_kv_heads, self.head_dim)])));
        let touched = first / PAGE;
        let mut pages: Vec<&mut Page> = self.pages[touched..].iter_mut().map(Arc::make_mut).collect();
        let (n_pages, n_heads, head_dim) = (pages.len(), self.n_kv_heads, self.head_dim);
        let pages: Vec<_> = pages.iter_mut().map(|page| Shared::new(&mut page.0)).collect();
        let stride = value_stride(head_dim);
        let rows_per_page = n_rows.min(PAGE) * head_dim * 2;
        cpu.pool().chunks(n_pages * n_heads, (8192 / rows_per_page).max(1), |_, parts| {
            for part in parts {
                let (page, head) = (part / n_heads, part % n_heads);
                let start = (touched + page) * PAGE;
                let (k, v) = (key_range(head_dim, head), value_range(n_heads, head_dim, head));
                // SAFETY: every pair of page and head is handed out once, and has its own keys and values.
                let (k, v) = unsafe { (pages[page].part(k), pages[page].part(v)) };
                for position in first.max(start)..end.min(start + PAGE) {
                    let row = (position - first) * width + head * head_dim;
                    store_key(&keys[row..][..head_dim], k, position - start);
                    store_value(&values[row..][..head_dim], &mut v[(position - start) * stride..][..head_dim]);
                }
            }
        });
        self.len = end;
    }

    /// The keys of a head in a page: `[head_dim][PAGE]`.
    pub(crate) fn keys(&self, page: usize, head: usize) -> &[u16] {
        &self.pages[page].0[key_range(self.head_dim, head)]
    }

    /// The values of a head in a page: `[PAGE][value_stride]`.
    pub(crate) fn values(&self, page: usize, head: usize) -> &[u16] {
        &self.pages[page].0[value_range(self.n_kv_heads, self.head_dim, head)]
    }

    /// From the values of one position to those of the next.
    pub(crate) fn value_stride(&self) -> usize {
        value_stride(self.head_dim)
    }
}

/// Whole vectors: the elements behind the head's stay zero.
fn value_stride(head_dim: usize) -> usize {
    head_dim.next_multiple_of(16)
}

fn page_elements(n_kv_heads: usize, head_dim: usize) -> usize {
    n_kv_heads * (head_dim + value_stride(head_dim)) * PAGE
}

fn key_range(head_dim: usize, head: usize) -> Range<usize> {
    let size = head_dim * PAGE;
    head * size..(head + 1) * size
}

fn value_range(n_kv_heads: usize, head_dim: usize, head: usize) -> Range<usize> {
    let (start, size) = (n_kv_heads * head_dim * PAGE, value_stride(head_dim) * PAGE);
    start + head * size..start + (head + 1) * size
}

fn store_key(key: &[f32], page: &mut [u16], position: usize) {
    for (column, &value) in page.chunks_exact_mut(PAGE).zip(key) {
        column[position] = half(value);
    }
}

fn store_value(value: &[f32], row: &mut [u16]) {
    row.iter_mut().zip(value).for_each(|(out, &value)| *out = half(value));
}

/// An infinity here would make a NaN of every later position that gives it the weight zero.
fn half(value: f32) -> u16 {
    let largest = f16::MAX.to_f32();
    f16::from_f32(value.clamp(-largest, largest)).to_bits()
}
