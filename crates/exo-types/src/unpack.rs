//! MessagePack of any shape, but not of any depth: the one reader of what others sent and of what is stored.

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Most lists and maps inside each other. Each takes stack while it is read, also in a field that this version does not
/// know and skips, and a byte makes one: rmp-serde's own limit of 1024 overflows a thread's stack.
pub const DEEPEST: usize = 128;

/// Most of them inside an event, which is kept and told again in whatever stands around it. So all that takes an event in
/// can also be read with it.
pub(crate) const DEEPEST_EVENT: usize = 64;

/// Why MessagePack cannot be read.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// Nobody who means well writes that.
    #[error("more than {DEEPEST} lists and maps inside each other")]
    TooDeep,
    /// No MessagePack, or of something else.
    #[error(transparent)]
    Unreadable(rmp_serde::decode::Error),
}

impl From<rmp_serde::decode::Error> for UnpackError {
    fn from(error: rmp_serde::decode::Error) -> Self {
        match error {
            rmp_serde::decode::Error::DepthLimitExceeded => Self::TooDeep,
            other => Self::Unreadable(other),
        }
    }
}

/// Reads the value that MessagePack begins with, in which no more lists and maps stand inside each other than
/// [`DEEPEST`]. What follows the value is not looked at.
///
/// # Errors
/// When it is nested deeper, is cut off, is no MessagePack or no `T`.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UnpackError> {
    #[expect(clippy::disallowed_methods, reason = "bounded here")]
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    // It refuses when none is left, not when one too many comes.
    reader.set_max_depth(DEEPEST + 1);
    Ok(T::deserialize(&mut reader)?)
}

#[cfg(test)]
mod tests;
