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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_may_use_what_stands_below_it() {
        let uses = |layer: Layer| {
            let may = Layer::ALL.into_iter().filter(|other| layer.may_use(*other)).map(Layer::name);
            may.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(uses(Layer::Pure), "pure");
        assert_eq!(uses(Layer::Engine), "pure engine");
        assert_eq!(uses(Layer::Io), "pure engine io");
        assert_eq!(uses(Layer::Glue), "pure engine io glue");
        assert_eq!(uses(Layer::Service), "pure engine io glue");
        assert_eq!(uses(Layer::Test), "pure engine io glue test");
    }

    #[test]
    fn a_layer_is_read_as_it_is_written() {
        for layer in Layer::ALL {
            assert_eq!(Layer::parse(layer.name()).expect("a layer"), layer);
        }
        for wrong in ["", "Pure", "io ", "core"] {
            assert!(Layer::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
