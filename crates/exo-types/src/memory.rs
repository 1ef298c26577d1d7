//! Amounts of memory.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of memory or storage in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Bytes.
    pub in_bytes: u64,
}

impl Memory {
    /// From bytes.
    pub const fn bytes(in_bytes: u64) -> Self {
        Self { in_bytes }
    }

    /// From MiB.
    pub const fn mib(n: u64) -> Self {
        Self { in_bytes: n << 20 }
    }

    /// The sum, or the largest amount there is.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self { in_bytes: self.in_bytes.saturating_add(other.in_bytes) }
    }

    /// What is left, or nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self { in_bytes: self.in_bytes.saturating_sub(other.in_bytes) }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut value = self.in_bytes as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        match unit {
            0 => write!(f, "{} B", self.in_bytes),
            _ => write!(f, "{value:.1} {}", UNITS[unit]),
        }
    }
}
