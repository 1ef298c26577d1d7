//! `exo cluster token`.

use crate::error::CliError;
use crate::output::say;
use clap::Args;
use exo_bus::Neighbour;
use exo_identity::{ADDRESSES, JoinToken};
use exo_service::{CommonArgs, Visit};
use exo_types::{Command, CommandReply, JoinTokenRecord, Millis};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// A command is an append to the log.
pub(super) const COMMAND: Duration = Duration::from_secs(10);
const DAY: u64 = 24 * 60 * 60;

/// What a token can be.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// For any number of nodes, not for one
    #[arg(long)]
    reusable: bool,
    /// For so long: 30m, 24h, 7d, or `never`
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse_expiry)]
    expires: Expiry,
    /// Where the new node reaches a master of the cluster, as host:port; may be repeated. Default: where they listen
    #[arg(long = "address", value_name = "HOST:PORT")]
    addresses: Vec<String>,
}

/// How long a token holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expiry(Option<Duration>);

fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry(None));
    }
    let wrong = || "write a number and s, m, h or d, for example 24h; or `never`".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => DAY,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..) if seconds <= 3650 * DAY => Ok(Expiry(Some(Duration::from_secs(seconds)))),
        _ => Err("a token holds for one second to ten years, or `never` ends".to_owned()),
    }
}

pub(super) async fn run(args: TokenArgs) -> Result<(), CliError> {
    let visit = Visit::begin(&args.common).await?;
    let made = make(&visit, &args).await;
    visit.end().await;
    say(made?.reveal())
}

async fn make(visit: &Visit, args: &TokenArgs) -> Result<JoinToken, CliError> {
    visit.view().await?;
    let addresses = match args.addresses.is_empty() {
        true => best(&visit.bus.links().neighbours),
        false => args.addresses.clone(),
    };
    if addresses.is_empty() {
        return Err(CliError::Cluster("no master's address is known; name one with --address HOST:PORT".to_owned()));
    }
    let failed = |error: exo_identity::CryptoError| CliError::Cluster(error.to_string());
    let token = JoinToken::generate(visit.identity.cluster(), addresses).map_err(failed)?;
    let now = now();
    let record = JoinTokenRecord {
        id: token.id(),
        public_key: token.verifier().map_err(failed)?.to_string(),
        created: now,
        expires: args.expires.0.map(|time| Millis(now.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(0)))),
        reusable: args.reusable,
    };
    send(visit, Command::CreateJoinToken { token: record }).await?;
    Ok(token)
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Asks the leading master, and waits until it is written down.
pub(super) async fn send(visit: &Visit, command: Command) -> Result<(), CliError> {
    match visit.node.commands().send(command, COMMAND).await {
        Ok(CommandReply::Accepted { .. }) => Ok(()),
        Ok(CommandReply::Refused(refusal)) => Err(CliError::Cluster(refusal.message)),
        Err(error) => Err(CliError::Cluster(error.to_string())),
    }
}

/// One address of each master, then the next of each. Those that hold on one machine only are for clusters of one machine.
fn best(neighbours: &[Neighbour]) -> Vec<String> {
    let masters = || neighbours.iter().filter(|neighbour| neighbour.admits);
    let is_local = |address: &String| address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    let all_local = masters().flat_map(|master| &master.addresses).all(is_local);
    let of = |master: &Neighbour| -> Vec<String> {
        master.addresses.iter().filter(|address| all_local || !is_local(address)).cloned().collect()
    };
    let lists: Vec<Vec<String>> = masters().map(of).collect();
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let rounds = (0..longest).flat_map(|round| lists.iter().filter_map(move |list| list.get(round).cloned()));
    rounds.take(ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_bus::{ProcessId, Traffic};
    use exo_types::NodeId;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        let check = |text: &str, seconds: u64| {
            assert_eq!(parse_expiry(text), Ok(Expiry(Some(Duration::from_secs(seconds)))), "{text}");
        };
        check("90s", 90);
        check("30m", 1800);
        check("24h", DAY);
        check("7d", 7 * DAY);
        assert_eq!(parse_expiry("never"), Ok(Expiry(None)));
        for bad in ["", "h", "24", "0h", "-1h", "1.5h", "99999999999d", "24ä"] {
            assert!(parse_expiry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_master_is_named_before_the_second_address_of_any() {
        let neighbour = |process, admits, addresses: &[&str]| Neighbour {
            node: NodeId::new("n").expect("a good id"),
            process: ProcessId(process),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            admits,
            certificate_ends: SystemTime::now(),
            traffic: Traffic::default(),
        };
        let masters = [
            neighbour(1, true, &["127.0.0.1:1", "10.0.0.1:1", "[fd00::1]:1"]),
            neighbour(2, true, &["10.0.0.2:1"]),
            neighbour(3, false, &["10.0.0.3:1"]),
        ];
        assert_eq!(best(&masters), ["10.0.0.1:1", "10.0.0.2:1", "[fd00::1]:1"]);
        assert_eq!(best(&[neighbour(1, true, &["127.0.0.1:1"])]), ["127.0.0.1:1"]);
        assert!(best(&masters[2..]).is_empty());
    }
}
