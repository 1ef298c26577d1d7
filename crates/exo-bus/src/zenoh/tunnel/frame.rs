//! What travels inside TLS: frames of one byte for the kind, three for the length (little endian), and a body.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes before a body.
pub(super) const HEADER: usize = 4;
/// Longest body: what one read of the local socket brings.
pub(super) const BODY: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Who we are; the first frame of both sides.
    Hello,
    /// Whether the link is wanted; of the side with the larger id.
    Verdict,
    /// Whom we know.
    Peers,
    /// zenoh's bytes; none of them is a beat.
    Data,
    /// The end, and why.
    Bye,
    /// A part of a question or an answer; more follow.
    CallPart,
    /// The last part of a question or an answer, or all of it.
    Call,
}

impl Kind {
    const ALL: [Self; 7] = [Self::Hello, Self::Verdict, Self::Peers, Self::Data, Self::Bye, Self::CallPart, Self::Call];

    fn code(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Verdict => 2,
            Self::Peers => 3,
            Self::Data => 4,
            Self::Bye => 5,
            Self::CallPart => 6,
            Self::Call => 7,
        }
    }
}

/// What a peer did that ends its link.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    #[error("a frame of {0} bytes; at most {BODY} are allowed")]
    Length(usize),
    #[error("a question or an answer of {0} bytes or more, which none has")]
    LongCall(usize),
    #[error("a {found:?} came where {expected:?} was expected")]
    Order { found: Kind, expected: Kind },
    #[error("a {0:?} that cannot be read")]
    Body(Kind),
    #[error("its machine answers, but the process has said nothing for {0:?}")]
    Hung(std::time::Duration),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl FrameError {
    /// What we sent was not acknowledged in time: nobody is there any more.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
    }
}

pub(super) fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    debug_assert!(length <= BODY);
    let [a, b, c, _] = (length as u32).to_le_bytes();
    [kind.code(), a, b, c]
}

pub(super) fn read_header([code, a, b, c]: [u8; HEADER]) -> Result<(Kind, usize), FrameError> {
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    let kind = Kind::ALL.into_iter().find(|kind| kind.code() == code).ok_or(FrameError::Kind(code))?;
    if length > BODY { Err(FrameError::Length(length)) } else { Ok((kind, length)) }
}

/// Writes a whole frame and sends it off.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), kind: Kind, body: &[u8]) -> Result<(), FrameError> {
    if body.len() > BODY {
        return Err(FrameError::Length(body.len()));
    }
    to.write_all(&[&header(kind, body.len()), body].concat()).await?;
    Ok(to.flush().await?)
}

/// Reads a whole frame of that kind. Not cancel safe.
pub(super) async fn expect(from: &mut (impl AsyncRead + Unpin), expected: Kind) -> Result<Vec<u8>, FrameError> {
    let mut head = [0; HEADER];
    from.read_exact(&mut head).await?;
    let (found, length) = read_header(head)?;
    if found != expected {
        return Err(FrameError::Order { found, expected });
    }
    body(from, length).await
}

/// Reads a body, whose length was checked.
pub(super) async fn body(from: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>, FrameError> {
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_comes_back_and_nothing_else_is_one() {
        for kind in Kind::ALL {
            assert_eq!(read_header(header(kind, BODY)).expect("good"), (kind, BODY));
        }
        assert!(matches!(read_header([0, 0, 0, 0]), Err(FrameError::Kind(0))));
        assert!(matches!(read_header([4, 1, 0, 1]), Err(FrameError::Length(65_537))));
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes in any::<[u8; HEADER]>()) {
            let _ = read_header(bytes);
        }
    }
}
