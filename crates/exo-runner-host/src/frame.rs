//! Frames: four bytes of length (little endian), one of version, and a message as MessagePack with named fields.

use exo_types::{UnpackError, unpack};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Version of the messages. Host and runner come from one build; another version is refused, not guessed at.
pub const PROTOCOL_VERSION: u8 = 2;

/// Largest body in bytes: a request's text is bounded by the API, far below.
pub const FRAME_LIMIT: usize = 16 << 20;

const HEADER: usize = 5;

/// A frame that cannot be read or written.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Too long.
    #[error("a message of {length} bytes; at most {FRAME_LIMIT} are allowed")]
    TooLong {
        /// Bytes announced, or to be sent.
        length: usize,
    },
    /// From another build.
    #[error(
        "a message of version {version}, this build speaks {PROTOCOL_VERSION}; install exo-runner and its worker from one build"
    )]
    Version {
        /// As announced.
        version: u8,
    },
    /// Not a message.
    #[error("a message that cannot be read: {0}")]
    Decode(#[from] UnpackError),
    /// Not to be written.
    #[error("a message that cannot be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The connection broke, or ended inside a message.
    #[error("the connection between worker and runner broke: {0}")]
    Io(#[from] io::Error),
}

/// The whole frame of a message.
pub(crate) fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    rmp_serde::encode::write_named(&mut frame, message)?;
    let length = frame.len() - HEADER;
    if length > FRAME_LIMIT {
        return Err(FrameError::TooLong { length });
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    frame[4] = PROTOCOL_VERSION;
    Ok(frame)
}

fn body_length(header: [u8; HEADER]) -> Result<usize, FrameError> {
    let [a, b, c, d, version] = header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if version != PROTOCOL_VERSION {
        return Err(FrameError::Version { version });
    }
    if length > FRAME_LIMIT { Err(FrameError::TooLong { length }) } else { Ok(length) }
}

/// The next message; none if the other side closed between two messages. Not cancel safe.
pub(crate) async fn read<M: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<M>, FrameError> {
    let mut header = [0; HEADER];
    if from.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..]).await?;
    // Grown as bytes come, so that an announced length costs nothing before they do.
    let length = body_length(header)?;
    let mut body = Vec::new();
    from.take(length as u64).read_to_end(&mut body).await?;
    whole(body, length)
}

/// The next message of either side ([`crate::HostMessage`], [`crate::RunnerMessage`]), for a thread; none if the other
/// side closed between two messages.
pub fn read_message<M: DeserializeOwned>(from: &mut impl Read) -> Result<Option<M>, FrameError> {
    let mut header = [0; HEADER];
    if from.read(&mut header[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..])?;
    let length = body_length(header)?;
    let mut body = Vec::new();
    from.take(length as u64).read_to_end(&mut body)?;
    whole(body, length)
}

fn whole<M: DeserializeOwned>(body: Vec<u8>, length: usize) -> Result<Option<M>, FrameError> {
    if body.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(unpack(&body)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostMessage, RunnerMessage};
    use exo_types::DEEPEST;
    use proptest::prelude::*;
    use std::thread;

    fn read_all(mut bytes: &[u8]) -> Result<Option<RunnerMessage>, FrameError> {
        read_message(&mut bytes)
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let message = RunnerMessage::Loaded { tensor_endpoint: Some("[::1]:52420".to_owned()), incarnation: u64::MAX };
        let frame = encode(&message).expect("small");
        assert_eq!(read_all(&frame).expect("whole"), Some(message));
        assert_eq!(read_all(&[]).expect("closed between messages"), None);
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        let check = |bytes: &[u8], expect: &str| {
            let error = read_all(bytes).expect_err(expect).to_string();
            assert!(error.contains(expect), "{error} does not contain {expect}");
        };
        let good = encode(&RunnerMessage::Progress { steps: 1, busy: true }).expect("small");
        check(&good[..3], "broke");
        check(&good[..good.len() - 1], "broke");
        check(&[0xff, 0xff, 0xff, 0xff, PROTOCOL_VERSION], "4294967295 bytes");
        check(&[1, 0, 0, 0, 9, 0], "version 9");
        check(&[1, 0, 0, 0, PROTOCOL_VERSION, 0xc1], "cannot be read");
        check(&encode(&HostMessage::Shutdown).expect("small"), "cannot be read");
    }

    #[test]
    fn a_message_nested_without_end_is_refused_before_it_fills_the_stack() {
        // A list in a list in a list, in a field that this version does not know.
        let nested = |levels: usize| {
            let body =
                [b"\x81\xa6Loaded\x82\xabincarnation\x01\xa5later".as_slice(), &vec![0x91; levels], &[1]].concat();
            let length = u32::try_from(body.len()).expect("small").to_le_bytes();
            read_all(&[&length[..], &[PROTOCOL_VERSION], &body].concat())
        };
        let check = move || {
            assert!(matches!(nested(100), Ok(Some(RunnerMessage::Loaded { incarnation: 1, .. }))));
            for levels in [DEEPEST, 1000] {
                assert!(matches!(nested(levels), Err(FrameError::Decode(UnpackError::TooDeep))), "{levels} levels");
            }
        };
        let thread = thread::Builder::new().stack_size(1 << 20).spawn(check).expect("starts");
        thread.join().expect("reads on a small stack");
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let message = RunnerMessage::Failed { retry: false, message: "x".repeat(FRAME_LIMIT + 1) };
        assert!(matches!(encode(&message), Err(FrameError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _: Result<Option<HostMessage>, _> = read_message(&mut bytes.as_slice());
        }
    }
}
