//! Frames of hidden states.
//!
//! The first byte chooses what was agreed, the second where the bytes are cut.

use crate::input;
use exo_tensor_link::{FrameReader, Handshake, Precision};

/// A frame: its number, metadata and values.
type Frame = (u64, Vec<u8>, Vec<u32>);

/// How the bytes are cut never changes the frames.
pub(crate) fn run(bytes: &[u8]) {
    let (agreed, rest) = input::choice(bytes);
    let (seed, rest) = input::choice(rest);
    let whole = read(agreed, rest, &[rest.len()]);
    assert_eq!(read(agreed, rest, &input::cuts(seed, rest.len())), whole);
}

fn handshake(agreed: u8) -> Handshake {
    Handshake {
        instance: "i".to_owned(),
        incarnation: 1,
        rank: 0,
        peer: 1,
        world: 2,
        channel: 0,
        max_metadata: u32::from(agreed >> 5),
        max_values: u32::from(agreed >> 1 & 15),
        precision: if agreed & 1 == 0 { Precision::F32 } else { Precision::F16 },
    }
}

/// All frames, or those before the error and the error.
fn read(agreed: u8, bytes: &[u8], cuts: &[usize]) -> (Vec<Frame>, Option<String>) {
    let mut reader = FrameReader::new(&handshake(agreed), 0);
    let (mut frames, mut metadata, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at, mut cuts) = (0, cuts.iter());
    let mut end = cuts.next().copied().unwrap_or(0);
    loop {
        loop {
            match reader.take_into(&mut metadata, &mut values) {
                Ok(Some(number)) => {
                    frames.push((number, metadata.clone(), values.iter().map(|value| value.to_bits()).collect()));
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
        while at == end {
            let Some(next) = cuts.next() else { return (frames, None) };
            end = *next;
        }
        let room = reader.room();
        assert!(!room.is_empty(), "no frame is whole, and there is no room");
        let count = room.len().min(end - at);
        room[..count].copy_from_slice(&bytes[at..at + count]);
        reader.put(count);
        at += count;
    }
}
