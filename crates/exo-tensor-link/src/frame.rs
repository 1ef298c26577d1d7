//! The header that stands before every frame.
//!
//! ```text
//! 0     4       5    6         7        8     16       24       28      32
//! EXOT  version kind precision reserved nonce sequence metadata values  end
//! ```
//! Integers are little-endian. `metadata` counts bytes, `values` counts values, of 4 bytes or 2; both follow in this
//! order. The nonce names the link, so that nothing of an earlier one can be taken for its own.

use crate::error::ProtocolError;
use crate::handshake::{Handshake, Precision};

/// Bytes of a header.
pub(crate) const HEADER: usize = 32;
/// `EXOT`, read as a little-endian number.
const MAGIC: u32 = u32::from_le_bytes(*b"EXOT");
/// Version of this protocol; both sides run the same.
const VERSION: u8 = 2;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asks for a link; the metadata is a handshake.
    Hello,
    /// Grants it; the metadata is a handshake.
    Welcome,
    /// Denies it; the metadata is a reason.
    Refusal,
    /// Hidden states.
    Data,
}

impl Kind {
    pub fn code(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Welcome => 2,
            Self::Refusal => 3,
            Self::Data => 4,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Hello, Self::Welcome, Self::Refusal, Self::Data].into_iter().find(|kind| kind.code() == code)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub precision: Precision,
    pub nonce: u64,
    pub sequence: u64,
    pub metadata: usize,
    pub values: usize,
}

/// What was agreed, and what comes next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreed {
    pub precision: Precision,
    pub nonce: u64,
    pub max_metadata: usize,
    pub max_values: usize,
}

impl Agreed {
    /// What both sides said, with the smaller maxima, and the link's name.
    pub fn of(agreed: &Handshake, nonce: u64) -> Self {
        Self {
            precision: agreed.precision,
            nonce,
            max_metadata: agreed.max_metadata as usize,
            max_values: agreed.max_values as usize,
        }
    }

    /// Bytes of the longest frame.
    pub fn longest_frame(&self) -> usize {
        HEADER + self.max_metadata + self.max_values * self.precision.width()
    }
}

impl Header {
    pub fn write(&self) -> [u8; HEADER] {
        let length = |length: usize| u32::try_from(length).expect("lengths are checked against the agreed maximum");
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4] = VERSION;
        bytes[5] = self.kind.code();
        bytes[6] = self.precision.code();
        bytes[8..16].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&length(self.metadata).to_le_bytes());
        bytes[28..].copy_from_slice(&length(self.values).to_le_bytes());
        bytes
    }

    /// Reads what every frame has in common; nothing is compared with the agreement yet.
    pub fn read(bytes: &[u8; HEADER], expected: &'static str) -> Result<Self, ProtocolError> {
        let magic = u32_at(bytes, 0);
        if magic != MAGIC {
            return Err(ProtocolError::Magic { found: magic });
        }
        if bytes[4] != VERSION {
            return Err(ProtocolError::Version { found: bytes[4], ours: VERSION });
        }
        let kind = Kind::from_code(bytes[5]).ok_or(ProtocolError::Kind { found: bytes[5], expected })?;
        let precision = Precision::from_code(bytes[6])
            .ok_or(ProtocolError::Precision { found: bytes[6], agreed: Precision::F32.code() })?;
        Ok(Self {
            kind,
            precision,
            nonce: u64::from(u32_at(bytes, 8)) | u64::from(u32_at(bytes, 12)) << 32,
            sequence: u64::from(u32_at(bytes, 16)) | u64::from(u32_at(bytes, 20)) << 32,
            metadata: u32_at(bytes, 24) as usize,
            values: u32_at(bytes, 28) as usize,
        })
    }

    /// Compares a frame of hidden states with the agreement.
    pub fn check(&self, agreed: &Agreed, sequence: u64) -> Result<(), ProtocolError> {
        if self.kind != Kind::Data {
            return Err(ProtocolError::Kind { found: self.kind.code(), expected: "data" });
        }
        if self.precision != agreed.precision {
            return Err(ProtocolError::Precision { found: self.precision.code(), agreed: agreed.precision.code() });
        }
        if self.nonce != agreed.nonce {
            return Err(ProtocolError::Nonce);
        }
        if self.sequence != sequence {
            return Err(ProtocolError::Sequence { found: self.sequence, expected: sequence });
        }
        self.check_lengths(agreed.max_metadata, agreed.max_values)
    }

    /// Compares the announced lengths with their limits.
    pub fn check_lengths(&self, max_metadata: usize, max_values: usize) -> Result<(), ProtocolError> {
        let check = |what, size, limit| {
            if size > limit { Err(ProtocolError::Length { what, size, limit }) } else { Ok(()) }
        };
        check("bytes of metadata", self.metadata, max_metadata)?;
        check("values", self.values, max_values)
    }

    /// Bytes that follow the header.
    pub fn payload(&self) -> usize {
        self.metadata + self.values * self.precision.width()
    }
}

fn u32_at(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AGREED: Agreed = Agreed { precision: Precision::F16, nonce: 77, max_metadata: 10, max_values: 100 };

    fn header() -> Header {
        Header { kind: Kind::Data, precision: Precision::F16, nonce: 77, sequence: 5, metadata: 10, values: 100 }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        assert_eq!(Header::read(&header().write(), "data"), Ok(header()));
        assert_eq!(header().payload(), 210);
        assert_eq!(header().check(&AGREED, 5), Ok(()));
    }

    #[test]
    fn every_field_is_checked() {
        let check = |change: fn(&mut Header), expect| {
            let mut header = header();
            change(&mut header);
            assert_eq!(header.check(&AGREED, 5), Err(expect));
        };
        check(|header| header.kind = Kind::Hello, ProtocolError::Kind { found: 1, expected: "data" });
        check(|header| header.precision = Precision::F32, ProtocolError::Precision { found: 0, agreed: 1 });
        check(|header| header.nonce = 78, ProtocolError::Nonce);
        check(|header| header.sequence = 6, ProtocolError::Sequence { found: 6, expected: 5 });
        let long = ProtocolError::Length { what: "bytes of metadata", size: 11, limit: 10 };
        check(|header| header.metadata = 11, long);
        check(|header| header.values = 101, ProtocolError::Length { what: "values", size: 101, limit: 100 });
    }

    #[test]
    fn what_is_not_ours_is_told() {
        for (at, expect) in [
            (0, ProtocolError::Magic { found: MAGIC ^ 0xff }),
            (4, ProtocolError::Version { found: VERSION ^ 0xff, ours: VERSION }),
            (5, ProtocolError::Kind { found: 4 ^ 0xff, expected: "data" }),
        ] {
            let mut bytes = header().write();
            bytes[at] ^= 0xff;
            assert_eq!(Header::read(&bytes, "data"), Err(expect));
        }
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_never_panic(bytes in any::<[u8; HEADER]>()) {
            if let Ok(header) = Header::read(&bytes, "data") {
                let _ = header.check(&AGREED, 5);
            }
        }
    }
}
