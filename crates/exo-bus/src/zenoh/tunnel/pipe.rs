//! Carries zenoh's bytes through a link, and calls beside them.

mod listening;
mod speaking;

use super::super::seal::SealError;
use super::driver::Event;
use super::frame::{BODY, FrameError};
use super::line::Established;
use super::meter::Metered;
use super::pulse::Ear;
use super::{PeerId, Shared};
use crate::envelope::MESSAGE_LIMIT;
use futures::FutureExt;
use futures::future::BoxFuture;
use listening::Listener;
use speaking::Speaker;
use std::io;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsStream;
use zenoh::config::{Locator, ZenohId};

/// zenoh of this process takes up a local socket at once.
const LOCAL: Duration = Duration::from_secs(3);
/// What is taken from a peer before zenoh takes it: a message of the largest size. A peer whose bytes nobody takes would
/// take this machine for lost.
const BACKLOG: usize = MESSAGE_LIMIT;

/// The local socket that zenoh answers.
pub(super) async fn answered_by_zenoh(shared: &Shared) -> io::Result<UnixStream> {
    UnixStream::connect(shared.nook.listener()).await
}

/// The local socket through which zenoh calls, and the call, which has to be carried on until it ends.
pub(super) async fn called_by_zenoh(
    shared: &Shared,
    number: u64,
    peer: &PeerId,
) -> io::Result<(UnixStream, BoxFuture<'static, bool>)> {
    let path = shared.nook.caller(number);
    let listener = UnixListener::bind(&path)?;
    let wrong = || io::Error::other("an id or a path that zenoh does not take");
    let id = ZenohId::try_from(peer.as_slice()).map_err(|_| wrong())?.into();
    let locator: Locator = format!("unixsock-stream/{}", path.display()).parse().map_err(|_| wrong())?;
    let zenoh = shared.zenoh.clone();
    let mut call = async move { zenoh.connect_peer(&id, &[locator]).await }.boxed();
    let called = timeout(LOCAL, async {
        tokio::select! {
            biased;
            accepted = listener.accept() => accepted.map(|(stream, _)| stream),
            _ = &mut call => Err(io::Error::other("zenoh does not call")),
        }
    });
    let called = called.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let _gone = std::fs::remove_file(&path);
    Ok((called?, call))
}

/// Carries until one side ends. Says why, in the peer's words if it had any.
pub(super) async fn carry(
    shared: &Shared,
    stream: TlsStream<Metered>,
    local: UnixStream,
    call: Option<BoxFuture<'static, bool>>,
    established: Established,
    events: mpsc::Sender<Event>,
) -> Result<String, FrameError> {
    let Established { node, words, pulse, clerk, calls, .. } = established;
    let ear = Ear::new(Instant::now());
    let (from_peer, to_peer) = tokio::io::split(stream);
    let (from_zenoh, mut to_zenoh) = local.into_split();
    let (taken, waiting) = tokio::io::duplex(BACKLOG);
    let mut waiting = BufReader::with_capacity(BODY, waiting);
    let refuse = |error: &SealError| shared.refuse_message(error);
    let listener = Listener { pulse: pulse.clone(), ear: &ear, events: events.clone(), clerk, refuse: &refuse };
    let speaker = Speaker { words, calls, pulse, ear: &ear, node, events };
    // When the peer is done, what it said last still reaches zenoh.
    let taking = async {
        let (ended, _passed) =
            tokio::join!(listener.run(from_peer, taken), tokio::io::copy_buf(&mut waiting, &mut to_zenoh));
        ended
    };
    let failed = async {
        match call {
            Some(call) => match call.await {
                true => std::future::pending().await,
                false => Ok("zenoh did not connect".to_owned()),
            },
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        ended = speaker.run(from_zenoh, to_peer) => ended,
        ended = taking => ended,
        ended = failed => ended,
    }
}

#[cfg(test)]
mod tests;
