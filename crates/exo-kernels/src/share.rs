//! One slice, written by several threads at disjoint places.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice whose disjoint parts may be written by several threads.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for an exclusive borrow of the slice; `part` and `at` pass on to their callers the duty that no
// element is used by two threads at once, and `T: Send` lets the elements change threads.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// While the result lives, no other part that is in use overlaps it.
    #[expect(clippy::mut_from_ref, reason = "that is the purpose; the caller keeps the parts disjoint")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "part {range:?} of {}", self.length);
        // SAFETY: the range lies inside the slice that is borrowed for 'a; disjointness is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// A pointer to an element; up to the end of the slice may be written behind it.
    pub(crate) fn at(&self, index: usize) -> *mut T {
        assert!(index <= self.length, "element {index} of {}", self.length);
        // SAFETY: the index lies inside the allocation or one behind it.
        unsafe { self.start.add(index) }
    }
}
