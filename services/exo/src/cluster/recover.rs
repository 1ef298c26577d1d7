//! `exo cluster recover`: one master goes on without the others.

use crate::error::CliError;
use crate::log::{LocalArgs, LocalLog, generation_of};
use crate::output::say;
use clap::Args;
use exo_types::SessionId;

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    local: LocalArgs,
    /// Do it; without this only what would happen is said
    #[arg(long)]
    yes: bool,
}

/// Says what is lost, and does it if that was confirmed.
pub(super) fn run(args: &RecoverArgs) -> Result<(), CliError> {
    let log = LocalLog::open(&args.local)?;
    let summary = log.summary()?;
    let session = SessionId { generation: generation_of(&summary) + 1, master_node_id: log.node_id().clone() };
    let old = summary.session.as_ref().map_or_else(|| "none".to_owned(), SessionId::to_string);
    let others: Vec<&str> = summary.members.voters.iter().map(|member| member.node_id.as_str()).collect();
    let others: Vec<&str> = others.into_iter().filter(|node| *node != log.node_id().as_str()).collect();
    say(format_args!("This machine's log: session {old}, up to event {}.", summary.last_event))?;
    if others.is_empty() {
        say("It has no other voters: if exo does not start with it, restore a backup instead (`exo log restore`).")?;
    } else {
        say(format_args!("Its other voters: {}. Whatever they accepted after that event is lost.", others.join(", ")))?;
        say("Make sure that they do not run: as long as a majority of them does, that is the cluster.")?;
    }
    say(format_args!("The new session would be {session}, with this master alone; others that come join it."))?;
    if !args.yes {
        return Err(CliError::NotConfirmed);
    }
    let begun = log.begin_anew(&session)?;
    say(format_args!("Session {session} goes on from event {}; start exo here.", begun.last_event))
}
