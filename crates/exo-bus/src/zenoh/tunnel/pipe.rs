//! Carries zenoh's bytes through a link.

use super::driver::{Event, Word};
use super::frame::{self, BODY, FrameError, HEADER, Kind, header, read_header};
use super::hello::{read_peers, write_peers};
use super::meter::Metered;
use super::{PeerId, Shared};
use crate::envelope::MESSAGE_LIMIT;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use zenoh::config::{Locator, ZenohId};

/// zenoh of this process takes up a local socket at once.
const LOCAL: Duration = Duration::from_secs(3);
/// What is taken from a peer before zenoh takes it: a message of the largest size. A peer whose bytes nobody takes would
/// take this machine for lost.
const BACKLOG: usize = MESSAGE_LIMIT;
/// For the last words.
const FAREWELL: Duration = Duration::from_millis(200);

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
    stream: TlsStream<Metered>,
    local: UnixStream,
    call: Option<BoxFuture<'static, bool>>,
    words: mpsc::Receiver<Word>,
    events: mpsc::Sender<Event>,
) -> Result<String, FrameError> {
    let (from_peer, to_peer) = tokio::io::split(stream);
    let (from_zenoh, mut to_zenoh) = local.into_split();
    let (taken, waiting) = tokio::io::duplex(BACKLOG);
    let mut waiting = BufReader::with_capacity(BODY, waiting);
    // When the peer is done, what it said last still reaches zenoh.
    let taking = async {
        let (ended, _passed) =
            tokio::join!(inwards(from_peer, taken, events), tokio::io::copy_buf(&mut waiting, &mut to_zenoh));
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
        ended = outwards(from_zenoh, to_peer, words) => ended,
        ended = taking => ended,
        ended = failed => ended,
    }
}

async fn outwards(
    mut from: OwnedReadHalf,
    mut to: WriteHalf<TlsStream<Metered>>,
    mut words: mpsc::Receiver<Word>,
) -> Result<String, FrameError> {
    let mut buffer = vec![0; HEADER + BODY];
    loop {
        tokio::select! {
            biased;
            word = words.recv() => match word {
                Some(Word::Peers(peers)) => frame::write(&mut to, Kind::Peers, &write_peers(&peers)).await?,
                Some(Word::Bye(reason)) => {
                    let said = timeout(FAREWELL, frame::write(&mut to, Kind::Bye, reason.as_bytes())).await;
                    tracing::trace!(said = said.is_ok(), "a link is closed");
                    return Ok(reason);
                }
                None => return Ok("the bus is closed".to_owned()),
            },
            read = from.read(&mut buffer[HEADER..]) => match read? {
                0 => return Ok("zenoh closed it".to_owned()),
                length => {
                    buffer[..HEADER].copy_from_slice(&header(Kind::Data, length));
                    to.write_all(&buffer[..HEADER + length]).await?;
                    to.flush().await?;
                }
            },
        }
    }
}

async fn inwards(
    from: ReadHalf<TlsStream<Metered>>,
    mut to: DuplexStream,
    events: mpsc::Sender<Event>,
) -> Result<String, FrameError> {
    let mut from = BufReader::with_capacity(BODY, from);
    loop {
        let mut head = [0; HEADER];
        if from.fill_buf().await?.is_empty() {
            return Ok("the peer closed it".to_owned());
        }
        from.read_exact(&mut head).await?;
        match read_header(head)? {
            (Kind::Data, length) => pass_on(&mut from, &mut to, length).await?,
            (Kind::Peers, length) => {
                let peers = read_peers(&frame::body(&mut from, length).await?)?;
                if events.send(Event::Heard(peers)).await.is_err() {
                    return Ok("the bus is closed".to_owned());
                }
            }
            (Kind::Bye, length) => {
                let reason = frame::body(&mut from, length).await?;
                return Ok(format!("the peer closed it: {}", String::from_utf8_lossy(&reason)));
            }
            (found, _) => return Err(FrameError::Order { found, expected: Kind::Data }),
        }
    }
}

/// Without a copy of its own.
async fn pass_on(
    from: &mut BufReader<ReadHalf<TlsStream<Metered>>>,
    to: &mut DuplexStream,
    mut length: usize,
) -> Result<(), FrameError> {
    while length > 0 {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let part = available.len().min(length);
        to.write_all(&available[..part]).await?;
        from.consume(part);
        length -= part;
    }
    Ok(())
}
