//! The layers of the workspace, and which may use which.

use anyhow::{Result, bail};

/// Where a crate stands; its `[package.metadata.exo] layer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Decides. No tokio, no files, sockets, environment, clock or randomness.
    Pure,
    /// Owns exactly one outside thing.
    Io,
    /// Computes.
    Engine,
    /// Puts io crates together for the services.
    Glue,
    /// Runs.
    Service,
    /// Exists for tests and chores.
    Test,
}

impl Layer {
    /// All, from the bottom up.
    pub const ALL: [Self; 6] = [Self::Pure, Self::Engine, Self::Io, Self::Glue, Self::Service, Self::Test];

    /// Reads the word of the manifest.
    pub fn parse(word: &str) -> Result<Self> {
        Ok(match word {
            "pure" => Self::Pure,
            "io" => Self::Io,
            "engine" => Self::Engine,
            "glue" => Self::Glue,
            "service" => Self::Service,
            "test" => Self::Test,
            other => bail!("no such layer: {other:?}"),
        })
    }

    /// The word of the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Io => "io",
            Self::Engine => "engine",
            Self::Glue => "glue",
            Self::Service => "service",
            Self::Test => "test",
        }
    }

    /// Whether a crate of this layer may depend on one of `other` (outside of its tests).
    pub fn may_use(self, other: Self) -> bool {
        match self {
            Self::Pure => other == Self::Pure,
            Self::Engine => matches!(other, Self::Pure | Self::Engine),
            Self::Io => matches!(other, Self::Pure | Self::Io | Self::Engine),
            Self::Glue => matches!(other, Self::Pure | Self::Io | Self::Engine | Self::Glue),
            Self::Service => !matches!(other, Self::Service | Self::Test),
            Self::Test => other != Self::Service,
        }
    }
}
