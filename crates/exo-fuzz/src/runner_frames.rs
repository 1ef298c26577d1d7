//! What a worker and its runner send each other.

use crate::input;
use exo_runner_host::{FRAME_LIMIT, HostMessage, PROTOCOL_VERSION, RunnerMessage, read_message};

/// As frames, and as the body of one.
pub(crate) fn run(bytes: &[u8]) {
    let (side, rest) = input::choice(bytes);
    let length = u32::try_from(rest.len().min(FRAME_LIMIT)).unwrap_or(0).to_le_bytes();
    let framed = [&length, &[PROTOCOL_VERSION][..], rest].concat();
    for mut stream in [rest, &framed] {
        match side % 2 {
            0 => while matches!(read_message::<HostMessage>(&mut stream), Ok(Some(_))) {},
            _ => while matches!(read_message::<RunnerMessage>(&mut stream), Ok(Some(_))) {},
        }
    }
}
