//! What can be typed after the program's name.

use clap::Parser;
use exo_service::CommonArgs;

/// The HTTP edge of an exo cluster: OpenAI's API and exo's own.
///
/// Runs beside exo-master and exo-worker on a node, or alone on a machine that only serves clients.
/// Everything can be set in the configuration file; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(
    name = "exo-api",
    version,
    after_help = "Examples:\n  exo-api --api-port 8080\n  exo-api --check-config\n  exo-api --set networking.peers=10.0.0.7:52414"
)]
pub struct Args {
    /// What every service takes.
    #[command(flatten)]
    pub common: CommonArgs,
}
