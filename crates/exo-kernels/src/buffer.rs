//! Memory for weights and activations: aligned for vector loads, on huge pages where the system has them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A cache line and a vector register.
const ALIGNMENT: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

/// Zeroed bytes with the alignment of a cache line, from a huge page's size on with that of a huge page.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    length: usize,
    origin: Origin,
}

/// Where the memory came from.
enum Origin {
    Heap(Layout),
    /// Mapped with so many bytes at this address, around the buffer.
    #[cfg(target_os = "linux")]
    Mapped(*mut libc::c_void, usize),
}

// SAFETY: it owns its bytes like a `Vec<u8>` does.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn new(length: usize) -> Self {
        #[cfg(target_os = "linux")]
        if length >= HUGE_PAGE
            && let Some(mapped) = Self::map(length)
        {
            return mapped;
        }
        let layout = Layout::from_size_align(length.max(1), ALIGNMENT).expect("smaller than the address space");
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, length, origin: Origin::Heap(layout) }
    }

    /// Fresh pages: they are zero without being written, so the threads that fill the buffer are the first to touch
    /// them, each its own.
    #[cfg(target_os = "linux")]
    fn map(length: usize) -> Option<Self> {
        let size = length.checked_next_multiple_of(HUGE_PAGE)?.checked_add(HUGE_PAGE)?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping touches no memory of this process.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        let start = base.cast::<u8>().map_addr(|address| address.next_multiple_of(HUGE_PAGE));
        // SAFETY: advice about memory that was just mapped; a refusal changes nothing.
        unsafe { libc::madvise(start.cast(), size - HUGE_PAGE, libc::MADV_HUGEPAGE) };
        Some(Self { start: NonNull::new(start)?, length, origin: Origin::Mapped(base, size) })
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Kernels may prefetch behind the end (a prefetch does not fault), but read only below [`len`](Self::len).
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
        match self.origin {
            // SAFETY: allocated in `new` with this layout.
            Origin::Heap(layout) => unsafe { dealloc(self.start.as_ptr(), layout) },
            #[cfg(target_os = "linux")]
            // SAFETY: mapped in `map` with this size, and nobody borrows from it any more.
            Origin::Mapped(base, size) => unsafe {
                libc::munmap(base, size);
            },
        }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_size_are_zero_aligned_and_writable_to_the_end() {
        for length in [0, 1, 63, 4096, HUGE_PAGE - 1, HUGE_PAGE, 3 * HUGE_PAGE + 5] {
            let mut buffer = Buffer::new(length);
            assert_eq!(buffer.as_ptr().addr() % ALIGNMENT, 0);
            assert!(buffer.as_slice().iter().all(|&byte| byte == 0) && buffer.len() == length);
            buffer.as_mut_slice().fill(7);
            assert!(buffer.as_slice().iter().all(|&byte| byte == 7));
        }
    }
}
