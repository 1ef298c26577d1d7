//! Stored records: the State of a snapshot, and events of the log.

use crate::input;
use exo_state::{FORMAT_VERSION, decode_event, decode_state, encode_event, encode_state};

/// As it is, and as the payload of a record whose checksum is right. What can be read is written and read again.
pub(crate) fn run(bytes: &[u8]) {
    let (kind, payload) = input::choice(bytes);
    let sum = crc32(&[&[kind, FORMAT_VERSION], payload].concat()).to_le_bytes();
    for record in [bytes, &[&[kind, FORMAT_VERSION], &sum[..], payload].concat()] {
        if let Ok(state) = decode_state(record) {
            let again = encode_state(&state).expect("what was read can be written");
            assert_eq!(decode_state(&again).as_ref(), Ok(&state));
        }
        if let Ok(event) = decode_event(record) {
            let again = encode_event(&event).expect("what was read can be written");
            assert_eq!(decode_event(&again).as_ref(), Ok(&event));
        }
    }
}

/// The checksum of records, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}
