//! Keys and values of past positions.

mod page;

use std::sync::Arc;

use crate::cpu::Cpu;
use page::Writer;
pub(crate) use page::{Layout, Page, SCALED};

/// Positions per page.
pub const PAGE: usize = 64;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvFormat {
    /// Halves. Values beyond the range of a half are stored as its largest number.
    #[default]
    F16,
    /// Bytes with a scale for each 32 of a head and position: a little more than half of the memory, and a rounding of up
    /// to 1/254 of the largest of the 32.
    Q8,
}

/// Keys and values of one sequence in one layer.
///
/// Kept in pages of [`PAGE`] positions, which caches can have in common: a prompt that several requests begin with is
/// computed and stored once. In a page, per head, keys stand as `[head_dim][PAGE]` (one vector load has one element of
/// many positions: scores need no sum over lanes) and values as `[PAGE][head_dim, up to a multiple of 16]`.
#[derive(Clone, Debug)]
pub struct KvCache {
    format: KvFormat,
    pub(crate) layout: Layout,
    pub(crate) pages: Vec<Arc<Page>>,
    len: usize,
}

/// A full page, which caches have in common. A clone is the same page.
#[derive(Clone, Debug)]
pub struct KvPage(Arc<Page>);

impl KvCache {
    /// No positions yet; takes no memory before the first one.
    pub fn new(format: KvFormat, n_kv_heads: usize, head_dim: usize) -> Self {
        Self { format, layout: Layout { n_kv_heads, head_dim }, pages: Vec::new(), len: 0 }
    }

    /// How its keys and values are stored.
    pub fn format(&self) -> KvFormat {
        self.format
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
        self.pages.len() * self.layout.bytes(self.format)
    }

    /// Memory that `positions` positions take.
    pub fn bytes_for(format: KvFormat, n_kv_heads: usize, head_dim: usize, positions: usize) -> usize {
        positions.div_ceil(PAGE) * Layout { n_kv_heads, head_dim }.bytes(format)
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
        let (format, layout) = (self.format, self.layout);
        let Layout { n_kv_heads: n_heads, head_dim } = layout;
        let width = n_heads * head_dim;
        assert!(keys.len() == values.len() && keys.len().is_multiple_of(width), "{} in rows of {width}", keys.len());
        let (first, n_rows) = (self.len, keys.len() / width);
        if n_rows == 0 {
            return;
        }
        let end = first + n_rows;
        self.pages.resize_with(end.div_ceil(PAGE), || Arc::new(Page::new(format, layout)));
        let touched = first / PAGE;
        let pages: Vec<Writer<'_>> =
            self.pages[touched..].iter_mut().map(|page| Writer::new(Arc::make_mut(page))).collect();
        let rows_per_page = n_rows.min(PAGE) * head_dim * 2;
        cpu.pool().chunks(pages.len() * n_heads, (8192 / rows_per_page).max(1), |_, parts| {
            for part in parts {
                let (page, head) = (part / n_heads, part % n_heads);
                let start = (touched + page) * PAGE;
                for position in first.max(start)..end.min(start + PAGE) {
                    let row = (position - first) * width + head * head_dim;
                    let (key, value) = (&keys[row..][..head_dim], &values[row..][..head_dim]);
                    // SAFETY: every pair of page and head is handed out once.
                    unsafe { pages[page].store(layout, head, position - start, key, value) };
                }
            }
        });
        self.len = end;
    }

    /// From the values of one position to those of the next.
    pub(crate) fn value_stride(&self) -> usize {
        self.layout.value_stride()
    }
}
