//! What two ranks tell each other before the first frame.

use exo_tensor_link::Handshake;

/// What can be read is written as it was.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(handshake) = Handshake::read(bytes) {
        assert_eq!(handshake.write(), bytes);
    }
}
