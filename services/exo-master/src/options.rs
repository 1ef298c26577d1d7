//! What the configuration says about the master.

use exo_config::Config;
use exo_placement::Defaults;
use exo_types::ModelId;
use std::time::Duration;

/// What can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterOptions {
    /// Weight when two sessions meet.
    pub seniority: u32,
    /// Models to keep placed.
    pub wishes: Vec<ModelId>,
    /// Context and sequences of a placement that asks for none.
    pub defaults: Defaults,
    /// How long to listen for a leader before leading.
    pub listen: Duration,
    /// A node whose last process is gone for so long is taken for lost: a restart takes less.
    pub node_grace: Duration,
}

impl Default for MasterOptions {
    fn default() -> Self {
        Self {
            seniority: 0,
            wishes: Vec::new(),
            defaults: Defaults::default(),
            listen: Duration::from_millis(400),
            node_grace: Duration::from_millis(2500),
        }
    }
}

impl From<&Config> for MasterOptions {
    fn from(config: &Config) -> Self {
        Self {
            seniority: config.election.seniority,
            wishes: config.models.place.clone(),
            defaults: Defaults {
                context_length: config.engine.context_length,
                max_sequences: config.engine.max_sequences,
            },
            ..Self::default()
        }
    }
}
