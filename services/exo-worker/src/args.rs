//! What can be typed after the program's name.

use clap::Parser;
use exo_service::CommonArgs;

/// Runs the models that the cluster places on this machine.
///
/// Each shard of a model is a process of its own (exo-runner), which is replaced when it crashes or hangs.
/// Everything can be set in the configuration file; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(
    name = "exo-worker",
    version,
    after_help = "Examples:\n  exo-worker --set models.dirs=/srv/models\n  exo-worker --check-config\n  exo-worker --set networking.peers=10.0.0.7:52414"
)]
pub struct Args {
    /// What every service takes.
    #[command(flatten)]
    pub common: CommonArgs,
}
