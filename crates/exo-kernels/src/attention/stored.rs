//! How attention reads the keys and values of a head in a page, whatever they are stored as.

use crate::kv_cache::{KvCache, PAGE, Page, SCALED};
use crate::vector::Vector;

/// A head's keys and values in a page.
pub(super) trait Stored<'a>: Copy {
    /// Of that page and head; the cache has the format.
    fn of(cache: &'a KvCache, page: usize, head: usize) -> Self;

    /// Element `d` of the keys of sixteen positions.
    ///
    /// # Safety
    /// As the methods of [`Vector`]; `d` is an element of the head, `vector` one of the page.
    unsafe fn keys<V: Vector>(self, d: usize, vector: usize) -> V;

    /// Sixteen elements of the value of a position.
    ///
    /// # Safety
    /// As the methods of [`Vector`]; the position is one of the page, `column` of the padded row, sixteen of them.
    unsafe fn values<V: Vector>(self, position: usize, column: usize) -> V;
}

/// Halves.
#[derive(Clone, Copy)]
pub(super) struct Halves<'a> {
    keys: &'a [u16],
    values: &'a [u16],
    stride: usize,
}

/// Bytes with a scale for each [`SCALED`].
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    keys: &'a [i8],
    values: &'a [i8],
    key_scales: &'a [f32],
    value_scales: &'a [f32],
    stride: usize,
    /// Scales of the value of a position.
    scales: usize,
}

impl<'a> Stored<'a> for Halves<'a> {
    fn of(cache: &'a KvCache, page: usize, head: usize) -> Self {
        let (layout, page) = (cache.layout, &*cache.pages[page]);
        let numbers: &[u16] = if let Page::Halves(numbers) = page { numbers } else { &[] };
        let stride = layout.value_stride();
        Self { keys: &numbers[layout.keys(head)], values: &numbers[layout.values(head)], stride }
    }

    #[inline(always)]
    unsafe fn keys<V: Vector>(self, d: usize, vector: usize) -> V {
        debug_assert!((d + 1) * PAGE <= self.keys.len() && vector < PAGE / 16);
        // SAFETY: keys are rows of `PAGE`.
        unsafe { V::load_halves(self.keys.as_ptr().add(d * PAGE + vector * 16)) }
    }

    #[inline(always)]
    unsafe fn values<V: Vector>(self, position: usize, column: usize) -> V {
        debug_assert!(position < PAGE && column + 16 <= self.stride);
        // SAFETY: values are `PAGE` rows of the stride.
        unsafe { V::load_halves(self.values.as_ptr().add(position * self.stride + column)) }
    }
}

impl<'a> Stored<'a> for Bytes<'a> {
    fn of(cache: &'a KvCache, page: usize, head: usize) -> Self {
        let (layout, page) = (cache.layout, &*cache.pages[page]);
        let (numbers, scales): (&[i8], &[f32]) =
            if let Page::Bytes { numbers, scales } = page { (numbers, scales) } else { (&[], &[]) };
        Self {
            keys: &numbers[layout.keys(head)],
            values: &numbers[layout.values(head)],
            key_scales: &scales[layout.scales_of_keys(head)],
            value_scales: &scales[layout.scales_of_values(head)],
            stride: layout.value_stride(),
            scales: layout.value_scales(),
        }
    }

    #[inline(always)]
    unsafe fn keys<V: Vector>(self, d: usize, vector: usize) -> V {
        debug_assert!((d + 1) * PAGE <= self.keys.len() && vector < PAGE / 16);
        // SAFETY: keys are rows of `PAGE`, scales a row for each `SCALED` of them.
        unsafe {
            let scale = V::load(self.key_scales.as_ptr().add(d / SCALED * PAGE + vector * 16));
            V::load_bytes(self.keys.as_ptr().add(d * PAGE + vector * 16)).mul(scale)
        }
    }

    #[inline(always)]
    unsafe fn values<V: Vector>(self, position: usize, column: usize) -> V {
        debug_assert!(position < PAGE && column + 16 <= self.stride);
        // SAFETY: values are `PAGE` rows of the stride, with a scale for each `SCALED` columns.
        unsafe {
            let scale = V::splat(*self.value_scales.get_unchecked(position * self.scales + column / SCALED));
            V::load_bytes(self.values.as_ptr().add(position * self.stride + column)).mul(scale)
        }
    }
}
