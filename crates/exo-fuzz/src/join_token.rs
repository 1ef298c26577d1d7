//! Join tokens, which people copy from one terminal to another.

use crate::input;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exo_identity::{Fingerprint, JoinToken, TokenVerifier};

/// As a text, and as the content of a token whose checksum is right.
pub(crate) fn run(bytes: &[u8]) {
    let text = input::text(bytes);
    let _ = text.parse::<TokenVerifier>();
    let sum = &Fingerprint::of(bytes).as_bytes()[..4].to_vec();
    let sealed = format!("exo1-{}", URL_SAFE_NO_PAD.encode([bytes, sum].concat()));
    for text in [text, &sealed] {
        if let Ok(token) = text.parse::<JoinToken>() {
            let _ = (token.verifier(), token.prove(b"m"), format!("{token:?}"));
            // Another spelling of the same token may end in bits that say nothing.
            assert_eq!(token.with_addresses(token.addresses().to_vec()).reveal().parse().as_ref(), Ok(&token));
        }
    }
}
