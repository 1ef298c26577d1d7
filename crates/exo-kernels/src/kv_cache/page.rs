//! Keys and values of [`PAGE`] positions, and how their numbers are stored.

use std::ops::Range;

use half::f16;

use super::{KvFormat, PAGE};
use crate::share::Shared;

/// Numbers that have a scale in common where they are bytes: of one head and position, as in Q8_0.
pub(crate) const SCALED: usize = 32;

/// The numbers of a page: all heads' keys, then all heads' values.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    /// As bits of halves.
    Halves(Vec<u16>),
    /// As bytes, each times the scale of its [`SCALED`] numbers. Scales stand per head, the keys' before the values': of
    /// keys as `[head_dim / SCALED][PAGE]`, of values as `[PAGE][value_stride / SCALED]`.
    Bytes { numbers: Vec<i8>, scales: Vec<f32> },
}

/// Where the numbers of a head are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl Layout {
    /// From the values of one position to those of the next: whole vectors, the elements behind the head's stay zero.
    pub(crate) fn value_stride(self) -> usize {
        self.head_dim.next_multiple_of(16)
    }

    pub(crate) fn key_scales(self) -> usize {
        self.head_dim.div_ceil(SCALED)
    }

    pub(crate) fn value_scales(self) -> usize {
        self.value_stride().div_ceil(SCALED)
    }

    fn numbers(self) -> usize {
        self.n_kv_heads * (self.head_dim + self.value_stride()) * PAGE
    }

    fn scales(self) -> usize {
        self.n_kv_heads * (self.key_scales() + self.value_scales()) * PAGE
    }

    pub(crate) fn bytes(self, format: KvFormat) -> usize {
        match format {
            KvFormat::F16 => self.numbers() * size_of::<u16>(),
            KvFormat::Q8 => self.numbers() + self.scales() * size_of::<f32>(),
        }
    }

    pub(crate) fn keys(self, head: usize) -> Range<usize> {
        of_head(0, self.head_dim * PAGE, head)
    }

    pub(crate) fn values(self, head: usize) -> Range<usize> {
        of_head(self.n_kv_heads * self.head_dim * PAGE, self.value_stride() * PAGE, head)
    }

    pub(crate) fn scales_of_keys(self, head: usize) -> Range<usize> {
        of_head(0, self.key_scales() * PAGE, head)
    }

    pub(crate) fn scales_of_values(self, head: usize) -> Range<usize> {
        of_head(self.n_kv_heads * self.key_scales() * PAGE, self.value_scales() * PAGE, head)
    }
}

fn of_head(start: usize, size: usize, head: usize) -> Range<usize> {
    start + head * size..start + (head + 1) * size
}

impl Page {
    pub(crate) fn new(format: KvFormat, layout: Layout) -> Self {
        match format {
            KvFormat::F16 => Self::Halves(vec![0; layout.numbers()]),
            KvFormat::Q8 => Self::Bytes { numbers: vec![0; layout.numbers()], scales: vec![0.0; layout.scales()] },
        }
    }
}

/// A page that several threads write, each another head.
pub(super) enum Writer<'a> {
    Halves(Shared<'a, u16>),
    Bytes { numbers: Shared<'a, i8>, scales: Shared<'a, f32> },
}

impl<'a> Writer<'a> {
    pub(super) fn new(page: &'a mut Page) -> Self {
        match page {
            Page::Halves(numbers) => Self::Halves(Shared::new(numbers)),
            Page::Bytes { numbers, scales } => {
                Self::Bytes { numbers: Shared::new(numbers), scales: Shared::new(scales) }
            }
        }
    }

    /// Stores what a head has at a position of the page.
    ///
    /// # Safety
    /// No other thread writes that head of the page.
    pub(super) unsafe fn store(&self, layout: Layout, head: usize, position: usize, key: &[f32], value: &[f32]) {
        // SAFETY: the caller's promise; keys, values and scales of different heads do not overlap.
        unsafe {
            match self {
                Self::Halves(numbers) => {
                    let keys = numbers.part(layout.keys(head));
                    let column = keys.iter_mut().skip(position).step_by(PAGE);
                    column.zip(key).for_each(|(stored, &key)| *stored = half(key));
                    let row = &mut numbers.part(layout.values(head))[position * layout.value_stride()..];
                    row.iter_mut().zip(value).for_each(|(stored, &value)| *stored = half(value));
                }
                Self::Bytes { numbers, scales } => {
                    let column = numbers.part(layout.keys(head)).iter_mut().skip(position).step_by(PAGE);
                    let column_scales =
                        scales.part(layout.scales_of_keys(head)).iter_mut().skip(position).step_by(PAGE);
                    store_bytes(key, column, column_scales);
                    let row = &mut numbers.part(layout.values(head))[position * layout.value_stride()..];
                    let row_scales =
                        &mut scales.part(layout.scales_of_values(head))[position * layout.value_scales()..];
                    store_bytes(value, row.iter_mut(), row_scales.iter_mut());
                }
            }
        }
    }
}

/// Rounds to the nearest of 255 steps; the largest of [`SCALED`] numbers keeps its value.
fn store_bytes<'a>(
    numbers: &[f32],
    mut stored: impl Iterator<Item = &'a mut i8>,
    scales: impl Iterator<Item = &'a mut f32>,
) {
    for (part, scale) in numbers.chunks(SCALED).zip(scales) {
        // Infinities are stored as a number, so that no later position that gives them the weight zero becomes a NaN. Where
        // all are zero, the factor is zero and so is every byte.
        let largest = part.iter().fold(0.0_f32, |largest, number| largest.max(number.abs())).min(f32::MAX / 2.0);
        *scale = largest / 127.0;
        let factor = if *scale > 0.0 { 1.0 / *scale } else { 0.0 };
        for number in part {
            let Some(byte) = stored.next() else { return };
            // A conversion to an integer saturates.
            *byte = (number * factor).round_ties_even() as i8;
        }
    }
}

/// An infinity here would make a NaN of every later position that gives it the weight zero.
fn half(value: f32) -> u16 {
    let largest = f16::MAX.to_f32();
    f16::from_f32(value.clamp(-largest, largest)).to_bits()
}
