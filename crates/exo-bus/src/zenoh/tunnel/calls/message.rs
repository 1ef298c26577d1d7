//! What is asked and answered over a link, and how it is cut into frames.
//!
//! ```text
//! 0     1           9
//! kind  number u64  then the bytes; of a question: length of its key u16, the key, the bytes
//! ```
//! Integers are little-endian. The parts of a message follow each other, but for frames of other kinds.

use super::super::frame::{BODY, FrameError, HEADER, Kind, header};
use crate::envelope::MESSAGE_LIMIT;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const QUESTION: u8 = 1;
const ANSWER: u8 = 2;
const NOBODY: u8 = 3;

/// Bytes that a key may have: the name of a service and that of a node, written out.
const KEY: usize = 1024;
/// Bytes that a message may have.
const LIMIT: usize = MESSAGE_LIMIT + 1 + 8 + 2 + KEY;

/// A question, or what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Message {
    /// To be answered under its number.
    Question {
        number: u64,
        key: String,
        bytes: Bytes,
    },
    Answer {
        number: u64,
        bytes: Bytes,
    },
    /// Nobody here answers that key, and nobody has read the question.
    Nobody {
        number: u64,
    },
}

/// Whether a question on that key can be asked over a link.
pub(super) fn fits(key: &str) -> bool {
    key.len() <= KEY
}

impl Message {
    /// Appends its frames.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut head = Vec::with_capacity(16);
        let bytes = match self {
            Self::Question { number, key, bytes } => {
                head.put_u8(QUESTION);
                head.put_u64_le(*number);
                debug_assert!(fits(key));
                head.put_u16_le(key.len() as u16);
                head.put_slice(key.as_bytes());
                bytes
            }
            Self::Answer { number, bytes } => {
                head.put_u8(ANSWER);
                head.put_u64_le(*number);
                bytes
            }
            Self::Nobody { number } => {
                head.put_u8(NOBODY);
                head.put_u64_le(*number);
                &Bytes::new()
            }
        };
        cut(&head, bytes, out);
    }

    fn read(mut bytes: Bytes) -> Result<Self, FrameError> {
        let unreadable = |_| FrameError::Body(Kind::Call);
        let (kind, number) = (bytes.try_get_u8().map_err(unreadable)?, bytes.try_get_u64_le().map_err(unreadable)?);
        match kind {
            QUESTION => {
                let length = usize::from(bytes.try_get_u16_le().map_err(unreadable)?);
                if length > KEY || length > bytes.len() {
                    return Err(FrameError::Body(Kind::Call));
                }
                let key = bytes.split_to(length);
                let key = std::str::from_utf8(&key).map_err(|_| FrameError::Body(Kind::Call))?.to_owned();
                Ok(Self::Question { number, key, bytes })
            }
            ANSWER => Ok(Self::Answer { number, bytes }),
            NOBODY if bytes.is_empty() => Ok(Self::Nobody { number }),
            _ => Err(FrameError::Body(Kind::Call)),
        }
    }
}

/// The frames of what stands in two pieces.
fn cut(head: &[u8], bytes: &[u8], out: &mut Vec<u8>) {
    let mut left = head.len() + bytes.len();
    out.reserve(left + HEADER * (left / BODY + 1));
    let (mut head, mut bytes) = (head, bytes);
    loop {
        let length = left.min(BODY);
        left -= length;
        out.extend_from_slice(&header(if left == 0 { Kind::Call } else { Kind::CallPart }, length));
        // The head is shorter than a frame.
        let of_bytes = length - head.len();
        out.extend_from_slice(std::mem::take(&mut head));
        out.extend_from_slice(&bytes[..of_bytes]);
        bytes = &bytes[of_bytes..];
        if left == 0 {
            return;
        }
    }
}

/// Puts messages together as their frames come.
#[derive(Debug, Default)]
pub(in super::super) struct Assembler(BytesMut);

impl Assembler {
    /// More follows.
    pub fn part(&mut self, body: &[u8]) -> Result<(), FrameError> {
        if self.0.len() + body.len() > LIMIT {
            return Err(FrameError::LongCall(self.0.len() + body.len()));
        }
        self.0.extend_from_slice(body);
        Ok(())
    }

    /// The last part of a message.
    pub fn last(&mut self, body: Vec<u8>) -> Result<Message, FrameError> {
        if self.0.is_empty() {
            return Message::read(body.into());
        }
        self.part(&body)?;
        Message::read(std::mem::take(&mut self.0).freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::read_header;
    use super::*;
    use proptest::prelude::*;

    /// Reads frames as they were written.
    fn read(mut frames: &[u8]) -> Result<Vec<Message>, FrameError> {
        let (mut assembler, mut messages) = (Assembler::default(), Vec::new());
        while let Some((head, rest)) = frames.split_first_chunk() {
            let (kind, length) = read_header(*head)?;
            let (body, rest) = rest.split_at(length);
            frames = rest;
            match kind {
                Kind::CallPart => assembler.part(body)?,
                Kind::Call => messages.push(assembler.last(body.to_vec())?),
                other => panic!("a {other:?}"),
            }
        }
        Ok(messages)
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        let lengths = prop_oneof![0..100usize, BODY - 40..BODY + 40, 2 * BODY - 20..2 * BODY + 20];
        lengths.prop_map(|length| (0..length).map(|at| (at % 251) as u8).collect::<Vec<_>>().into())
    }

    fn message() -> impl Strategy<Value = Message> {
        let question = (any::<u64>(), "[a-z/%]{0,60}", bytes());
        let question = question.prop_map(|(number, key, bytes)| Message::Question { number, key, bytes });
        let answer = (any::<u64>(), bytes()).prop_map(|(number, bytes)| Message::Answer { number, bytes });
        prop_oneof![question, answer, any::<u64>().prop_map(|number| Message::Nobody { number })]
    }

    proptest! {
        #[test]
        fn messages_come_back_from_their_frames(messages in proptest::collection::vec(message(), 0..5)) {
            let mut frames = Vec::new();
            messages.iter().for_each(|message| message.write(&mut frames));
            prop_assert_eq!(read(&frames).expect("good"), messages);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Assembler::default().last(bytes);
        }
    }

    #[test]
    fn a_message_that_never_ends_is_refused_when_it_is_too_long() {
        let mut assembler = Assembler::default();
        let whole = (0..LIMIT / BODY).all(|_| assembler.part(&[0; BODY]).is_ok());
        assert!(whole, "as long as a message may be");
        assert!(matches!(assembler.part(&[0; BODY]), Err(FrameError::LongCall(_))));
    }

    #[test]
    fn the_longest_message_of_the_bus_fits() {
        let key = "k".repeat(KEY);
        let message = Message::Question { number: u64::MAX, key, bytes: vec![7; MESSAGE_LIMIT].into() };
        let mut frames = Vec::new();
        message.write(&mut frames);
        assert_eq!(read(&frames).expect("good"), [message]);
    }
}
