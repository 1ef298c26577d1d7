//! Carries zenoh's bytes through a link.

use super::driver::{Event, Word};
use super::frame::{self, BODY, FrameError, HEADER, Kind, header, read_header};
use super::hello::{read_peers, write_peers};
use super::meter::Metered;
use super::pulse::Pulse;
use super::{PeerId, Shared};
use crate::envelope::MESSAGE_LIMIT;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
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
    pulse: Pulse,
) -> Result<String, FrameError> {
    let heard_beat = Notify::new();
    let (from_peer, to_peer) = tokio::io::split(stream);
    let (from_zenoh, mut to_zenoh) = local.into_split();
    let (taken, waiting) = tokio::io::duplex(BACKLOG);
    let mut waiting = BufReader::with_capacity(BODY, waiting);
    let incoming = inwards(from_peer, taken, events, pulse, &heard_beat);
    // When the peer is done, what it said last still reaches zenoh.
    let taking = async {
        let (ended, _passed) = tokio::join!(incoming, tokio::io::copy_buf(&mut waiting, &mut to_zenoh));
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
        ended = outwards(from_zenoh, to_peer, words, pulse, &heard_beat) => ended,
        ended = taking => ended,
        ended = failed => ended,
    }
}

async fn outwards(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut words: mpsc::Receiver<Word>,
    pulse: Pulse,
    heard_beat: &Notify,
) -> Result<String, FrameError> {
    let mut buffer = vec![0; HEADER + BODY];
    let mut spoke = Instant::now();
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
            () = pulse.due(spoke, heard_beat) => frame::write(&mut to, Kind::Data, &[]).await?,
        }
        spoke = Instant::now();
    }
}

async fn inwards(
    from: impl AsyncRead + Unpin,
    mut to: DuplexStream,
    events: mpsc::Sender<Event>,
    pulse: Pulse,
    heard_beat: &Notify,
) -> Result<String, FrameError> {
    let mut from = BufReader::with_capacity(BODY, from);
    let patience = pulse.patience();
    loop {
        let mut head = [0; HEADER];
        if heard(patience, from.fill_buf()).await?.is_empty() {
            return Ok("the peer closed it".to_owned());
        }
        heard(patience, from.read_exact(&mut head)).await?;
        match read_header(head)? {
            (Kind::Data, 0) => heard_beat.notify_one(),
            (Kind::Data, length) => pass_on(&mut from, &mut to, length, patience).await?,
            (Kind::Peers, length) => {
                let peers = read_peers(&heard(patience, frame::body(&mut from, length)).await?)?;
                if events.send(Event::Heard(peers)).await.is_err() {
                    return Ok("the bus is closed".to_owned());
                }
            }
            (Kind::Bye, length) => {
                let reason = heard(patience, frame::body(&mut from, length)).await?;
                return Ok(format!("the peer closed it: {}", String::from_utf8_lossy(&reason)));
            }
            (found, _) => return Err(FrameError::Order { found, expected: Kind::Data }),
        }
    }
}

/// What the peer sends, if it sends anything in time. A peer that does not hangs.
async fn heard<T, E: Into<FrameError>>(
    patience: Duration,
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, FrameError> {
    timeout(patience, read).await.map_err(|_| FrameError::Hung(patience))?.map_err(Into::into)
}

/// Without a copy of its own.
async fn pass_on(
    from: &mut BufReader<impl AsyncRead + Unpin>,
    to: &mut DuplexStream,
    mut length: usize,
    patience: Duration,
) -> Result<(), FrameError> {
    while length > 0 {
        let available = heard(patience, from.fill_buf()).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;
    use tokio::time::sleep;

    const ROOM: usize = 1 << 16;
    /// Of the leader of the log, when there is nothing to log.
    const HEARTBEAT: Duration = Duration::from_secs(1);

    /// One side of a link between masters; the test is the peer, and this side's zenoh.
    struct Peer {
        reads: DuplexStream,
        writes: DuplexStream,
        zenoh: DuplexStream,
    }

    impl Peer {
        /// Does what the test does with it, while that side runs. How that ended, if it did before.
        async fn of_side(test: impl AsyncFnOnce(Self)) -> Option<Result<String, FrameError>> {
            let ((to, reads), (writes, from)) = (duplex(ROOM), duplex(ROOM));
            let (zenoh, from_zenoh) = duplex(ROOM);
            let (taken, _waiting) = duplex(ROOM);
            let (_words, no_words) = mpsc::channel(1);
            let (events, _no_events) = mpsc::channel(1);
            let (pulse, heard_beat) = (Pulse::of_link(true), Notify::new());
            tokio::select! {
                biased;
                ended = outwards(from_zenoh, to, no_words, pulse, &heard_beat) => Some(ended),
                ended = inwards(from, taken, events, pulse, &heard_beat) => Some(ended),
                () = test(Self { reads, writes, zenoh }) => None,
            }
        }

        /// Bytes of the next frame, and when it comes after `since`.
        async fn next(&mut self, since: Instant) -> (usize, Duration) {
            let body = frame::expect(&mut self.reads, Kind::Data).await.expect("a frame");
            (body.len(), since.elapsed())
        }

        async fn beat(&mut self) {
            frame::write(&mut self.writes, Kind::Data, &[]).await.expect("somebody reads");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_beats_when_it_is_silent_and_only_then() {
        let ended = Peer::of_side(async |mut peer| {
            for _ in 0..20 {
                let begin = Instant::now();
                sleep(HEARTBEAT).await;
                peer.zenoh.write_all(b"news").await.expect("somebody reads");
                assert_eq!(peer.next(begin).await, (4, HEARTBEAT), "nothing comes between");
                peer.beat().await;
            }
            let (begin, first) = (Instant::now(), peer.next(Instant::now()).await);
            let second = peer.next(begin).await;
            assert_eq!((first.0, second), (0, (0, first.1 * 2)));
            assert!(first.1 < HEARTBEAT * 3 / 2, "{first:?}");
        });
        assert!(ended.await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_is_answered_at_once_so_that_it_carries_the_acknowledgement() {
        let ended = Peer::of_side(async |mut peer| {
            for _ in 0..20 {
                let begin = Instant::now();
                sleep(HEARTBEAT).await;
                peer.beat().await;
                assert_eq!(peer.next(begin).await, (0, HEARTBEAT));
                // What answers this one is not due yet.
                peer.beat().await;
            }
        });
        assert!(ended.await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_says_nothing_for_long_hangs_and_one_that_is_late_does_not() {
        let begin = Instant::now();
        let ended = Peer::of_side(async |mut peer| {
            for _ in 0..5 {
                sleep(Duration::from_secs(5)).await;
                peer.beat().await;
            }
            // In the middle of a frame.
            peer.writes.write_all(&header(Kind::Data, 100)).await.expect("somebody reads");
            std::future::pending().await
        });
        assert!(matches!(ended.await, Some(Err(FrameError::Hung(_)))));
        let silent = begin.elapsed() - Duration::from_secs(25);
        assert!((Duration::from_secs(6)..Duration::from_millis(6500)).contains(&silent), "{silent:?}");
    }
}
