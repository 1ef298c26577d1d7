//! Reads fields from a byte slice without ever leaving it.

use crate::error::Problem;

/// A position in the file.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn position(&self) -> u64 {
        self.at as u64
    }

    /// The size of the whole file.
    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn take(&mut self, length: u64, field: &dyn Fn() -> String) -> Result<&'a [u8], Problem> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or_else(|| Problem::Truncated {
            field: field(),
            offset: self.position(),
            needed: length,
            size: self.size(),
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &dyn Fn() -> String) -> Result<[u8; N], Problem> {
        let bytes = self.take(N as u64, field)?;
        Ok(bytes.try_into().expect("take returns as many bytes as asked for"))
    }

    pub(crate) fn magic(&mut self) -> Result<[u8; 4], Problem> {
        self.array(&|| "the magic number".to_owned())
    }

    pub(crate) fn u8(&mut self, field: &dyn Fn() -> String) -> Result<u8, Problem> {
        Ok(self.array::<1>(field)?[0])
    }

    pub(crate) fn u32(&mut self, field: &dyn Fn() -> String) -> Result<u32, Problem> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &dyn Fn() -> String) -> Result<u64, Problem> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(crate) fn string(&mut self, limit: u64, field: &dyn Fn() -> String) -> Result<&'a str, Problem> {
        let length = self.u64(field)?;
        if length > limit {
            return Err(Problem::TooLong { field: field(), length, limit });
        }
        let bytes = self.take(length, field)?;
        std::str::from_utf8(bytes).map_err(|_| Problem::Utf8 { field: field() })
    }

    /// A count of things that take at least `least` bytes each; refused if the rest of the file cannot hold them, so
    /// that memory for `count` things is in proportion to the file.
    pub(crate) fn count(&mut self, least: u64, field: &dyn Fn() -> String) -> Result<usize, Problem> {
        let count = self.u64(field)?;
        let rest = (self.bytes.len() - self.at) as u64;
        if count > rest / least {
            return Err(Problem::Count { field: field(), count, size: self.size() });
        }
        Ok(usize::try_from(count).expect("count is below the file's size"))
    }
}
