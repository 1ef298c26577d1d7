//! Calls other processes.

use super::driver::Event;
use super::handshake::{NoLink, Ready, call, settle, within};
use super::meter::Metered;
use super::table::{Call, Target};
use super::{PeerId, Shared};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// One address may take so long.
const CONNECT: Duration = Duration::from_secs(3);
/// A name may have many addresses; more than these are not tried.
const TRIED: usize = 8;

/// Who answered, if anybody did, and the link if there is one.
pub(super) struct Called {
    pub answered: Option<PeerId>,
    pub outcome: Result<Ready, NoLink>,
}

/// Tries one address after the other until one answers.
pub(super) async fn dial(shared: &Shared, to: &Call, events: &mpsc::Sender<Event>) -> Called {
    let addresses = match &to.target {
        Target::Static(name) => match timeout(CONNECT, lookup_host(name.as_str())).await {
            Ok(Ok(addresses)) => addresses.take(TRIED).collect(),
            Ok(Err(error)) => return failed(error),
            Err(_) => {
                return failed(io::Error::new(io::ErrorKind::TimedOut, "the name's address is not known in time"));
            }
        },
        Target::Peer(_) => to.addresses.clone(),
    };
    let reachable = |address: &&SocketAddr| !shared.loopback_only || address.ip().is_loopback();
    let mut last = failed(io::Error::new(io::ErrorKind::NotFound, "no address can be reached from here"));
    for address in addresses.iter().filter(reachable) {
        let mut answered = None;
        let outcome = within(dial_one(shared, *address, events, &mut answered)).await;
        if let Err(error) = &outcome
            && let Some(word) = error.word()
        {
            shared.refuse(word, *address, error);
        }
        let is_other = matches!((&to.target, answered), (Target::Peer(wanted), Some(other)) if other != *wanted);
        last = Called { answered, outcome };
        // At a private address of another network may be somebody else.
        if last.outcome.is_ok() || (last.answered.is_some() && !is_other) {
            break;
        }
    }
    last
}

fn failed(error: io::Error) -> Called {
    Called { answered: None, outcome: Err(NoLink::Io(error)) }
}

async fn dial_one(
    shared: &Shared,
    address: SocketAddr,
    events: &mpsc::Sender<Event>,
    answered: &mut Option<PeerId>,
) -> Result<Ready, NoLink> {
    let stream = timeout(CONNECT, TcpStream::connect(address))
        .await
        .map_err(|_| NoLink::Io(io::ErrorKind::TimedOut.into()))??;
    settle(&stream)?;
    call(shared, Metered::new(stream, shared.traffic.clone()), events, answered).await
}
