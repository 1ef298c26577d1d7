//! `exo cluster`: what concerns the cluster as a whole. One file for each verb.

mod join;
mod nodes;
mod recover;
mod revoke;
mod token;

use crate::error::CliError;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Begin a new session from this machine's log, without the other masters
    ///
    /// For a cluster of three or more masters that has lost its majority for good: the rest accepts no command then, by
    /// design, since the others might live on elsewhere. Stop exo here first. Events that only the lost masters had are
    /// lost. Masters of the old session that come back later put their log into the archive and join the new one.
    #[command(after_help = "Examples:
  systemctl stop exo.target && exo cluster recover --yes && systemctl start exo.target")]
    Recover(recover::RecoverArgs),
    /// Print a join token: the word that lets another machine into this cluster
    ///
    /// Run it on a machine of the cluster, as the user that runs exo. Who has the token can join, and a node of the
    /// cluster can do everything: hand it over as you would a password.
    #[command(after_help = "Examples:
  exo cluster token                              for one node, within a day
  exo cluster token --reusable --expires 1h      for all that you set up in the next hour
  exo cluster token > /run/join-token            for security.joinTokenFile on the new node")]
    Token(token::TokenArgs),
    /// Let this machine into the cluster that a join token is of
    ///
    /// Stop exo here first. What this machine had in another cluster (its key, its log) goes to `archive` in the data
    /// directory; models stay. Services can do the same at their first start: security.joinTokenFile.
    #[command(after_help = "Examples:\n  exo cluster join exo1-...\n  sudo -u exo exo cluster join exo1-...")]
    Join(join::JoinArgs),
    /// Throw a node out: its links close at once, and its key never opens one again
    ///
    /// A node that had a master also had the cluster's own key. If such a machine was stolen and not merely retired,
    /// begin a new cluster: revoking it keeps its old key out, not whoever can read its disk.
    #[command(after_help = "Examples:\n  exo cluster revoke attic\n  exo cluster revoke 0193c0de9d3f02ab77c1")]
    Revoke(revoke::RevokeArgs),
    /// List the nodes that belong to the cluster, with the fingerprints of their keys
    Nodes(nodes::NodesArgs),
}

/// Does it.
pub(crate) async fn run(command: ClusterCommand) -> Result<(), CliError> {
    match command {
        ClusterCommand::Recover(args) => recover::run(&args),
        ClusterCommand::Token(args) => token::run(args).await,
        ClusterCommand::Join(args) => join::run(args),
        ClusterCommand::Revoke(args) => revoke::run(args).await,
        ClusterCommand::Nodes(args) => nodes::run(args).await,
    }
}
