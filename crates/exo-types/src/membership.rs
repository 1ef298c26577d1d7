//! Which nodes belong to the cluster, and how they come in.

use crate::{IdError, JoinTokenId, Millis};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;

/// SHA-256 of a node's public key, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyFingerprint(String);

impl KeyFingerprint {
    /// Checks the text: 64 lower-case hexadecimal digits.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let what = "key fingerprint";
        if text.is_empty() {
            return Err(IdError::Empty { what });
        }
        if let Some(character) = text.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
            return Err(IdError::Character { what, character });
        }
        if text.len() != DIGITS {
            return Err(IdError::Length { what, length: text.len(), expected: DIGITS });
        }
        Ok(Self(text))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyFingerprint {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<KeyFingerprint> for String {
    fn from(fingerprint: KeyFingerprint) -> String {
        fingerprint.0
    }
}

/// A join token as the log knows it: nobody can make the token from this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenRecord {
    /// Its name.
    pub id: JoinTokenId,
    /// The public key, in hexadecimal digits, whose private half is the token's secret.
    pub public_key: String,
    /// When it was made, by the clock of who made it.
    pub created: Millis,
    /// When it stops to admit anybody, by the clock of the master that admits; never, if none.
    #[serde(default)]
    pub expires: Option<Millis>,
    /// Whether it admits more than one node.
    #[serde(default)]
    pub reusable: bool,
}

impl JoinTokenRecord {
    /// Whether its time is over.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_lower_case_digits() {
        for (text, good) in [
            ("0123456789abcdef".repeat(4), true),
            ("0123456789ABCDEF".repeat(4), false),
            ("ab".repeat(31), false),
            (String::new(), false),
            ("zz".repeat(32), false),
        ] {
            assert_eq!(KeyFingerprint::new(text.clone()).is_ok(), good, "{text}");
        }
    }
}
