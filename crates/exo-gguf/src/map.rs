//! The bytes of a file: mapped, or in memory for tests.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use memmap2::{Advice, Mmap};

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    pub(crate) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        #[expect(unsafe_code, reason = "memory-mapping is what lets a shard touch only its own tensors")]
        // SAFETY: the mapping is private and read-only, and bytes are only ever read as plain integers after the bounds
        // check. Model files are replaced by rename, never rewritten in place; a file that another process truncates
        // meanwhile ends this process with SIGBUS, which the worker reports as a dead runner.
        let mapped = unsafe { Mmap::map(&file)? };
        Ok(Self::Mapped(mapped))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }

    /// Starts reading a part of these bytes from disk, so that the pass over it that follows does not wait for each page.
    pub(crate) fn prefetch(&self, part: &[u8]) {
        if let Some(range) = self.range_of(part) {
            self.advise(range, Advice::WillNeed);
        }
    }

    /// Says that a part of these bytes will not be read again soon: its pages need no memory any more.
    pub(crate) fn release(&self, part: &[u8]) {
        if let Some(range) = self.range_of(part) {
            self.drop_pages(range);
        }
    }

    /// No read-ahead of the whole file: packing reads each tensor from front to back, but a shard skips most of them.
    pub(crate) fn read_at_random(&self) {
        self.advise(0..self.as_slice().len(), Advice::Random);
    }

    /// Where a slice of these bytes lies in them; `None` for a slice of something else.
    fn range_of(&self, part: &[u8]) -> Option<Range<usize>> {
        let whole = self.as_slice().as_ptr_range();
        let part = part.as_ptr_range();
        let inside = whole.start <= part.start && part.end <= whole.end;
        inside.then(|| part.start.addr() - whole.start.addr()..part.end.addr() - whole.start.addr())
    }

    /// Tells the kernel what will be done with a range. A hint: failure changes nothing.
    fn advise(&self, range: Range<usize>, advice: Advice) {
        if let Self::Mapped(map) = self {
            let _ = map.advise_range(advice, range.start, range.len());
        }
    }

    /// Gives the pages of a range back to the kernel; they are read again from the file when touched.
    fn drop_pages(&self, range: Range<usize>) {
        if let Self::Mapped(map) = self {
            #[expect(unsafe_code, reason = "MADV_DONTNEED is the only way to shed pages that were packed")]
            // SAFETY: the mapping is file-backed, read-only and never written, so dropping pages cannot lose data: the
            // next access reads the same bytes from the file.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}
