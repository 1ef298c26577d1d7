//! What two ranks tell each other before the first frame, and what they agree on.

use crate::error::{LinkError, ProtocolError};

/// Longest instance name in bytes.
const INSTANCE_LIMIT: usize = 192;
/// Bytes of a handshake without the instance's name.
const FIXED: usize = 36;
/// Longest handshake or refusal.
pub(crate) const LIMIT: usize = 1024;

/// How values travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    F32,
    /// Rounded to half precision: half the bytes, for slow networks. Results differ in the last digits.
    F16,
}

impl Precision {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::F32, Self::F16].into_iter().find(|precision| precision.code() == code)
    }

    /// Bytes of one value.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Who wants a link with whom. Both sides must say the same of the instance; the smaller maxima hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The instance's id, 1 to 192 bytes.
    pub instance: String,
    /// Which life of it: ranks of an earlier one are refused.
    pub incarnation: u64,
    /// Our place in the pipeline.
    pub rank: u32,
    /// The peer's place.
    pub peer: u32,
    /// Ranks in all.
    pub world: u32,
    /// What the link is for, where two ranks have several; the caller's numbers.
    pub channel: u32,
    /// Most bytes of metadata in a frame.
    pub max_metadata: u32,
    /// Most values in a frame.
    pub max_values: u32,
    /// How values travel; both sides must want the same.
    pub precision: Precision,
}

impl Handshake {
    /// Checks what we offer ourselves.
    pub(crate) fn check(&self) -> Result<(), LinkError> {
        let wrong = |reason: String| Err(LinkError::Handshake { reason });
        if self.instance.is_empty() || self.instance.len() > INSTANCE_LIMIT {
            return wrong(format!(
                "the instance's name has {} bytes, 1 to {INSTANCE_LIMIT} are allowed",
                self.instance.len()
            ));
        }
        if self.rank >= self.world || self.peer >= self.world || self.rank == self.peer {
            return wrong(format!("rank {} and peer {} are no two of {} ranks", self.rank, self.peer, self.world));
        }
        Ok(())
    }

    /// Compares with what the peer says; both maxima become the smaller, or the reason for a refusal comes.
    pub(crate) fn agree(&self, theirs: &Self) -> Result<Self, String> {
        fn same<T: PartialEq + std::fmt::Display>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
            if ours == theirs { Ok(()) } else { Err(format!("{what} is {ours} here and {theirs} there")) }
        }
        same("the instance", &self.instance, &theirs.instance)?;
        same("its incarnation", &self.incarnation, &theirs.incarnation)?;
        same("the number of ranks", &self.world, &theirs.world)?;
        same("the rank that was called", &self.rank, &theirs.peer)?;
        same("the rank that calls", &self.peer, &theirs.rank)?;
        same("the channel", &self.channel, &theirs.channel)?;
        same("the precision's code", &self.precision.code(), &theirs.precision.code())?;
        Ok(Self {
            max_metadata: self.max_metadata.min(theirs.max_metadata),
            max_values: self.max_values.min(theirs.max_values),
            ..self.clone()
        })
    }

    /// The one of our handshakes that the peer's fits, and what both agree on; or the reason for a refusal.
    pub(crate) fn choose(ours: &[Self], theirs: &Self) -> Result<(usize, Self), String> {
        let mut refusal = None;
        for (place, own) in ours.iter().enumerate() {
            match own.agree(theirs) {
                Ok(agreed) => return Ok((place, agreed)),
                // Of several the one that is meant is told about.
                Err(reason) if refusal.is_none() || (own.peer, own.channel) == (theirs.rank, theirs.channel) => {
                    refusal = Some(reason);
                }
                Err(_) => {}
            }
        }
        Err(refusal.unwrap_or_else(|| "nobody is waited for".to_owned()))
    }

    /// As it travels: eight numbers and the instance's name.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.instance.len());
        bytes.extend(self.incarnation.to_le_bytes());
        for number in [
            self.rank,
            self.peer,
            self.world,
            self.channel,
            self.max_metadata,
            self.max_values,
            u32::from(self.precision.code()),
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.instance.as_bytes());
        bytes
    }

    /// Reads what a peer says of itself; nothing is compared with ours yet.
    pub fn read(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let wrong = |reason| ProtocolError::Handshake { reason };
        let (fixed, instance) = bytes.split_at_checked(FIXED).ok_or(wrong("it is too short"))?;
        let number = |index: usize| {
            let at = 8 + 4 * index;
            u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        if instance.is_empty() || instance.len() > INSTANCE_LIMIT {
            return Err(wrong("the instance's name is empty or too long"));
        }
        let incarnation = fixed[..8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(Self {
            instance: str::from_utf8(instance).map_err(|_| wrong("the instance's name is no text"))?.to_owned(),
            incarnation,
            rank: number(0),
            peer: number(1),
            world: number(2),
            channel: number(3),
            max_metadata: number(4),
            max_values: number(5),
            precision: u8::try_from(number(6))
                .ok()
                .and_then(Precision::from_code)
                .ok_or(wrong("the precision is unknown"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake {
            instance: "instance-1".to_owned(),
            incarnation: 0x0102_0304_0506_0708,
            rank: 0,
            peer: 1,
            world: 2,
            channel: 0,
            max_metadata: 100,
            max_values: 4096,
            precision: Precision::F16,
        }
    }

    #[test]
    fn a_handshake_comes_back_as_it_was() {
        assert_eq!(Handshake::read(&handshake().write()), Ok(handshake()));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = handshake().write();
        for length in 0..=FIXED {
            assert!(Handshake::read(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_smaller_maxima_hold_and_all_else_must_be_the_same() {
        let theirs = Handshake { rank: 1, peer: 0, max_metadata: 50, max_values: 9000, ..handshake() };
        let agreed = handshake().agree(&theirs).expect("they match");
        assert_eq!((agreed.max_metadata, agreed.max_values), (50, 4096));
        for (change, word) in [
            (Handshake { instance: "other".to_owned(), ..theirs.clone() }, "instance"),
            (Handshake { incarnation: 9, ..theirs.clone() }, "incarnation"),
            (Handshake { world: 3, ..theirs.clone() }, "number of ranks"),
            (Handshake { rank: 2, ..theirs.clone() }, "calls"),
            (Handshake { peer: 2, ..theirs.clone() }, "called"),
            (Handshake { channel: 1, ..theirs.clone() }, "channel"),
            (Handshake { precision: Precision::F32, ..theirs }, "precision"),
        ] {
            let reason = handshake().agree(&change).expect_err(word);
            assert!(reason.contains(word), "{reason}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_not_offered() {
        for wrong in [
            Handshake { rank: 1, ..handshake() },
            Handshake { peer: 2, ..handshake() },
            Handshake { instance: String::new(), ..handshake() },
            Handshake { instance: "x".repeat(193), ..handshake() },
        ] {
            assert!(matches!(wrong.check(), Err(LinkError::Handshake { .. })), "{wrong:?}");
        }
    }
}
