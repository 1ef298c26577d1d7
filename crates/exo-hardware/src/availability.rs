//! Whether something can be used, and why not.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands between this process and a device. None of these is an error: a machine may be like that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Availability {
    /// Nothing.
    Ready,
    /// There is none.
    NotPresent,
    /// It is there, and no driver or library that speaks to it.
    NoDriver {
        /// What is missing, and what to do.
        reason: String,
    },
    /// This process may not open it.
    NoPermission {
        /// The file.
        path: String,
    },
    /// It is there and does not work.
    Unusable {
        /// What happened, and what to do.
        reason: String,
    },
}

impl Availability {
    /// Whether it can be used.
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }

    /// The first of the two that stands in the way.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.is_ready() { other } else { self }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::NotPresent => f.write_str("none"),
            Self::NoDriver { reason } => write!(f, "no driver: {reason}"),
            Self::NoPermission { path } => write!(f, "no permission for {path}"),
            Self::Unusable { reason } => write!(f, "unusable: {reason}"),
        }
    }
}
