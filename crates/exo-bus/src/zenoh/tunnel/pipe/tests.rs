use super::super::calls::Calls;
use super::super::frame::{self, FrameError, Kind, header};
use super::super::line::Word;
use super::super::pulse::{DOUBT, LATELY, Pulse};
use super::*;
use crate::names::ProcessId;
use exo_types::NodeId;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::sleep;

const ROOM: usize = 1 << 16;
/// Between two words that do not leave a beat between them.
const OFTEN: Duration = Duration::from_secs(1);

/// One side of a link; the test is the peer, and this side's zenoh and driver.
struct Peer {
    reads: DuplexStream,
    writes: DuplexStream,
    zenoh: DuplexStream,
    words: mpsc::Sender<Word>,
    pulse: watch::Sender<Pulse>,
    events: mpsc::Receiver<Event>,
}

impl Peer {
    /// Does what the test does with it, while that side runs. How that ended, if it did before.
    async fn of_side(pulse: Pulse, test: impl AsyncFnOnce(Self)) -> Option<Result<String, FrameError>> {
        let ((to, reads), (writes, from)) = (duplex(ROOM), duplex(ROOM));
        let (zenoh, from_zenoh) = duplex(ROOM);
        let (taken, _waiting) = duplex(ROOM);
        let (says, words) = mpsc::channel(1);
        let (events, hears) = mpsc::channel(1);
        let (sets, pulse) = watch::channel(pulse);
        let (ear, node) = (Ear::new(Instant::now()), node());
        let (clerk, calls) = Arc::new(Calls::default()).open(ProcessId(1), node.clone());
        let listener = Listener {
            pulse: pulse.clone(),
            ear: &ear,
            events: events.clone(),
            clerk,
            refuse: &|_| panic!("no calls"),
        };
        let speaker = Speaker { words, calls, pulse, ear: &ear, node, events };
        tokio::select! {
            biased;
            ended = speaker.run(from_zenoh, to) => Some(ended),
            ended = listener.run(from, taken) => Some(ended),
            () = test(Self { reads, writes, zenoh, words: says, pulse: sets, events: hears }) => None,
        }
    }

    /// Bytes of the next frame, and when it comes after `since`.
    async fn next(&mut self, since: Instant) -> (usize, Duration) {
        let body = frame::expect(&mut self.reads, Kind::Data).await.expect("a frame");
        (body.len(), since.elapsed())
    }

    /// Whether nothing comes so long.
    async fn is_silent_for(&mut self, pause: Duration) -> bool {
        timeout(pause, self.next(Instant::now())).await.is_err()
    }

    async fn beat(&mut self) {
        frame::write(&mut self.writes, Kind::Data, &[]).await.expect("somebody reads");
    }
}

fn node() -> NodeId {
    NodeId::new("peer").expect("a good id")
}

#[tokio::test(start_paused = true)]
async fn a_link_beats_when_it_is_silent_and_only_then() {
    let ended = Peer::of_side(Pulse::OF_MASTERS, async |mut peer| {
        for _ in 0..20 {
            let begin = Instant::now();
            sleep(OFTEN).await;
            peer.zenoh.write_all(b"news").await.expect("somebody reads");
            assert_eq!(peer.next(begin).await, (4, OFTEN), "nothing comes between");
            peer.beat().await;
        }
        let (begin, first) = (Instant::now(), peer.next(Instant::now()).await);
        let second = peer.next(begin).await;
        assert_eq!((first.0, second), (0, (0, first.1 * 2)));
        assert!(first.1 < OFTEN * 3 / 2, "{first:?}");
    });
    assert!(ended.await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_beat_is_answered_at_once_so_that_it_carries_the_acknowledgement() {
    // The peer may be in more of a hurry than this side.
    for pulse in [Pulse::OF_MASTERS, Pulse::LEADER_TO_MASTER, Pulse::RESTING] {
        let ended = Peer::of_side(pulse, async |mut peer| {
            for _ in 0..40 {
                let begin = Instant::now();
                sleep(OFTEN).await;
                peer.beat().await;
                assert_eq!(peer.next(begin).await, (0, OFTEN));
                // What answers this one is not due yet.
                peer.beat().await;
            }
        });
        assert!(ended.await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_says_nothing_for_long_hangs_and_one_that_is_late_does_not() {
    let begin = Instant::now();
    let ended = Peer::of_side(Pulse::OF_MASTERS, async |mut peer| {
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

#[tokio::test(start_paused = true)]
async fn a_link_that_rested_is_asked_at_once_when_it_has_to_be_watched() {
    const REST: Duration = Duration::from_secs(20);
    let begin = Instant::now();
    let ended = Peer::of_side(Pulse::RESTING, async |mut peer| {
        assert!(peer.is_silent_for(REST).await);
        peer.pulse.send_replace(Pulse::MASTER_TO_LEADER);
        assert_eq!(peer.next(begin).await, (0, REST));
        std::future::pending().await
    });
    assert!(matches!(ended.await, Some(Err(FrameError::Hung(_)))));
    let silent = begin.elapsed() - REST;
    assert!((Duration::from_secs(6)..Duration::from_millis(6500)).contains(&silent), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_is_not_answered_soon_makes_doubt_of_the_node() {
    let ended = Peer::of_side(Pulse::MASTER_TO_LEADER, async |mut peer| {
        for _ in 0..5 {
            peer.next(Instant::now()).await;
            let asked = Instant::now();
            sleep(DOUBT / 2).await;
            peer.beat().await;
            assert!(timeout(DOUBT, peer.events.recv()).await.is_err(), "it was answered");
            peer.next(asked).await;
            let asked = Instant::now();
            assert!(matches!(peer.events.recv().await, Some(Event::Doubted(whom)) if whom == node()));
            assert_eq!(asked.elapsed(), DOUBT);
            peer.beat().await;
        }
    });
    assert!(ended.await.is_none());
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_ask_beats_at_once_unless_it_has_just_asked() {
    let ended = Peer::of_side(Pulse::RESTING, async |mut peer| {
        for _ in 0..5 {
            sleep(LATELY).await;
            let asked = Instant::now();
            peer.zenoh.write_all(b"news").await.expect("somebody reads");
            assert_eq!(peer.next(asked).await, (4, Duration::ZERO));
            peer.words.send(Word::Ask).await.expect("somebody listens");
            assert_eq!(peer.next(asked).await, (0, Duration::ZERO));
            peer.words.send(Word::Ask).await.expect("somebody listens");
            assert!(peer.is_silent_for(LATELY / 2).await);
            assert!(timeout(DOUBT, peer.events.recv()).await.is_err(), "who was asked in doubt makes none");
        }
    });
    assert!(ended.await.is_none());
}
