//! `exo cluster join`.

use crate::error::CliError;
use crate::output::say;
use clap::Args;
use exo_identity::{Identity, IdentityStore, JoinToken, Opened};
use exo_node::{DataDir, Role};
use exo_service::{CommonArgs, opening, read_configuration};

/// With what.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The token, as `exo cluster token` printed it
    token: String,
}

pub(super) fn run(args: JoinArgs) -> Result<(), CliError> {
    let token: JoinToken = args.token.parse().map_err(|error| CliError::Cluster(format!("{error}")))?;
    let config = read_configuration(&args.common).map_err(|error| CliError::Cluster(error.to_string()))?.loaded.config;
    // Held until the end: nothing of exo may run here meanwhile.
    let data_dir = DataDir::open(&config.data_dir, Role::All).map_err(|error| CliError::Cluster(error.to_string()))?;
    let store = IdentityStore::new(data_dir.path());
    let opening = opening(&config, Role::Worker, data_dir.node_id().clone(), None);
    let joined = Identity::join(&store, &opening, &token).map_err(|error| CliError::Cluster(error.to_string()))?;
    let (identity, opened) = joined;
    say(format_args!(
        "Node {} belongs to cluster {} now. Start exo here: `exo up`, or `systemctl start exo.target`.",
        identity.node_id(),
        identity.cluster().short()
    ))?;
    match opened {
        Opened::Joined { archived: Some(archive) } => {
            say(format_args!("What it had in another cluster is in {}.", archive.display()))
        }
        _ => Ok(()),
    }
}
