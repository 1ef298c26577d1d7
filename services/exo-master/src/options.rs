//! What the configuration says about the master.

use crate::presence::Patience;
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
    /// How long the last process of a node may be gone. It is lost after a short time: the silence of a lost machine is
    /// noticed by the bus within 2.3 seconds, and both together are below three. What it holds goes elsewhere after
    /// a longer one; a restart takes less.
    pub absent: Patience,
    /// The same for nodes that a master that begins to lead has not seen yet. Longer: a link that broke with the last
    /// leader is dialled again after pauses of up to four seconds. A node that is dead all the same is lost within three
    /// seconds of the beginning, and what it held is placed again within five.
    pub unseen: Patience,
    /// Between two announcements of a leader.
    pub announce_every: Duration,
    /// How long a larger session has to be there before the own one is given up for it.
    pub settle: Duration,
    /// Before a session is asked again to take this master in.
    pub retry: Duration,
    /// How long a survivor of one or two voters waits for the leader before it takes over; never, if none.
    pub take_over_after: Option<Duration>,
    /// Whether this master leaves its session whenever it is stopped.
    pub leave_on_stop: bool,
}

impl Default for MasterOptions {
    fn default() -> Self {
        Self {
            seniority: 0,
            wishes: Vec::new(),
            defaults: Defaults::default(),
            listen: Duration::from_millis(400),
            absent: Patience { lost: Duration::from_millis(400), placed: Duration::from_millis(2200) },
            unseen: Patience { lost: Duration::from_millis(2500), placed: Duration::from_millis(4700) },
            announce_every: Duration::from_secs(1),
            settle: Duration::from_secs(1),
            retry: Duration::from_millis(500),
            take_over_after: Some(Duration::from_secs(30)),
            leave_on_stop: false,
        }
    }
}

impl From<&Config> for MasterOptions {
    fn from(config: &Config) -> Self {
        Self {
            seniority: config.election.seniority,
            take_over_after: Some(config.election.take_over_after).filter(|patience| !patience.is_zero()),
            leave_on_stop: config.election.leave_on_stop,
            wishes: config.models.place.clone(),
            defaults: Defaults {
                context_length: config.engine.context_length,
                max_sequences: config.engine.max_sequences,
            },
            ..Self::default()
        }
    }
}
