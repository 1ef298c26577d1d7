//! What can be typed after the program's name.

use clap::Parser;
use exo_service::CommonArgs;

/// Orders commands into events and decides where models are placed.
///
/// One master leads a cluster; others stand by. Placed models go on without one.
/// Everything can be set in the configuration file; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(
    name = "exo-master",
    version,
    after_help = "Examples:\n  exo-master --check-config\n  exo-master --data-dir /var/lib/exo\n  exo-master --set election.seniority=10"
)]
pub struct Args {
    /// What every service takes.
    #[command(flatten)]
    pub common: CommonArgs,
}
