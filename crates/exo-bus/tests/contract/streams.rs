use super::fixture::{Fixture, LONG, meet, pair, within};
use exo_bus::{Bus, SendError, StreamError, StreamReceiver, StreamSender, StreamService};
use std::time::Duration;

const COUNT: StreamService<u32, u32> = StreamService::new("count");
/// Items in flight that the crate promises to allow, and not to pass.
const WINDOW: u32 = 64;

/// A stream from `b` to `a`, open on both sides.
async fn stream(a: &Bus, b: &Bus) -> (StreamReceiver<u32>, StreamSender<u32>) {
    let mut incoming = b.serve_streams(COUNT).await.expect("serves");
    meet(a, b).await;
    let (receiver, incoming) =
        within(async { tokio::join!(a.open_stream(COUNT, b.node(), &7, LONG), incoming.recv()) }).await;
    let incoming = incoming.expect("a stream");
    assert_eq!((incoming.open, incoming.from.as_str()), (7, "a"));
    (receiver.expect("opens"), incoming.sender)
}

pub async fn items_arrive_in_order_to_the_end(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    let send = async {
        for number in 0..1000 {
            sender.send(&number).await.expect("sends");
        }
        sender.finish();
    };
    let receive = async {
        for number in 0..1000 {
            assert_eq!(receiver.recv(LONG).await, Ok(Some(number)));
        }
        assert_eq!(receiver.recv(LONG).await, Ok(None));
    };
    within(async { tokio::join!(send, receive) }).await;
}

pub async fn a_failing_sender_says_why(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    within(sender.send(&1)).await.expect("sends");
    sender.fail("the runner is gone");
    assert_eq!(within(receiver.recv(LONG)).await, Ok(Some(1)));
    let reason = "the runner is gone".to_owned();
    assert_eq!(within(receiver.recv(LONG)).await, Err(StreamError::Closed { reason }));
}

pub async fn a_dropped_sender_is_no_good_end(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut receiver, sender) = stream(&a, &b).await;
    drop(sender);
    assert!(matches!(within(receiver.recv(LONG)).await, Err(StreamError::Closed { .. })));
}

pub async fn a_slow_receiver_holds_the_sender_up(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    for number in 0..WINDOW {
        within(sender.send(&number)).await.expect("has credit");
    }
    let held = tokio::time::timeout(Duration::from_millis(20), sender.send(&WINDOW)).await;
    assert!(held.is_err(), "no credit is left");
    for number in 0..WINDOW {
        assert_eq!(within(receiver.recv(LONG)).await, Ok(Some(number)));
    }
    within(sender.send(&WINDOW)).await.expect("has credit again");
    assert_eq!(within(receiver.recv(LONG)).await, Ok(Some(WINDOW)));
}

pub async fn dropping_the_receiver_cancels_the_sender(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    within(sender.send(&1)).await.expect("sends");
    within(receiver.recv(LONG)).await.expect("receives");
    drop(receiver);
    within(sender.cancelled()).await;
    assert!(matches!(within(sender.send(&2)).await, Err(SendError::Cancelled)));
}

pub async fn a_dead_sender_is_noticed(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    within(sender.send(&1)).await.expect("sends");
    assert_eq!(within(receiver.recv(LONG)).await, Ok(Some(1)));
    within(b.close()).await;
    assert!(matches!(within(receiver.recv(LONG)).await, Err(StreamError::Lost { stream: "count", .. })));
}

pub async fn a_dead_receiver_is_noticed(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (receiver, mut sender) = stream(&a, &b).await;
    within(sender.send(&1)).await.expect("sends");
    within(a.close()).await;
    within(sender.cancelled()).await;
    let sent = within(sender.send(&2)).await;
    assert!(matches!(sent, Err(SendError::Lost | SendError::Cancelled)), "{sent:?}");
    drop(receiver);
}

pub async fn many_streams_do_not_mix(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut incoming = b.serve_streams(COUNT).await.expect("serves");
    meet(&a, &b).await;
    let serve = async {
        let mut senders = Vec::new();
        for _ in 0..8 {
            let stream = incoming.recv().await.expect("a stream");
            senders.push((stream.open, stream.sender));
        }
        for number in 0..100 {
            for (open, sender) in &mut senders {
                sender.send(&(*open * 1000 + number)).await.expect("sends");
            }
        }
        senders.into_iter().for_each(|(_, sender)| sender.finish());
    };
    let read = futures::future::join_all((0..8).map(|open| {
        let a = a.clone();
        let to = b.node().clone();
        async move {
            let mut receiver = a.open_stream(COUNT, &to, &open, LONG).await.expect("opens");
            for number in 0..100 {
                assert_eq!(receiver.recv(LONG).await, Ok(Some(open * 1000 + number)));
            }
            assert_eq!(receiver.recv(LONG).await, Ok(None));
        }
    }));
    within(async { tokio::join!(serve, read) }).await;
}

pub async fn nothing_for_long_is_told_and_the_stream_goes_on(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    let idle = receiver.recv(Duration::from_millis(5)).await;
    assert!(matches!(idle, Err(StreamError::IdleTimeout { .. })));
    within(sender.send(&1)).await.expect("sends");
    assert_eq!(within(receiver.recv(LONG)).await, Ok(Some(1)));
}

pub async fn a_node_can_stream_to_itself(fixture: &impl Fixture) {
    let a = fixture.join("a").await;
    let (mut receiver, mut sender) = stream(&a, &a).await;
    within(sender.send(&1)).await.expect("sends");
    sender.finish();
    assert_eq!(within(receiver.recv(LONG)).await, Ok(Some(1)));
    assert_eq!(within(receiver.recv(LONG)).await, Ok(None));
}
