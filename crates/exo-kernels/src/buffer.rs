//! Memory for weights and activations: aligned for vector loads, on huge pages where the system has them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A cache line and a vector register.
const ALIGNMENT: usize = 64;
const HUGE_PAGE: usize = 2 << 20;
/// Kernels prefetch this far ahead without looking at the end; the addresses stay inside of nothing they may not touch,
/// as a prefetch never faults.
const PADDING: usize = 64;

/// Zeroed bytes with the alignment of a cache line.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
    length: usize,
}

// SAFETY: it owns its bytes like a `Vec<u8>` does.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn new(length: usize) -> Self {
        let alignment = if length >= HUGE_PAGE { HUGE_PAGE } else { ALIGNMENT };
        let size = (length + PADDING).next_multiple_of(alignment);
        let layout = Layout::from_size_align(size, alignment).expect("weights are smaller than the address space");
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        #[cfg(target_os = "linux")]
        if alignment == HUGE_PAGE {
            // SAFETY: advice about memory that this buffer owns; a refusal changes nothing.
            unsafe { libc::madvise(start.as_ptr().cast(), size, libc::MADV_HUGEPAGE) };
        }
        Self { start, layout, length }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: `length` initialised bytes that this buffer owns.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.length)
    }
}
