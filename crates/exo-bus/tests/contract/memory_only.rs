//! What the memory network does wrong on purpose, and what the bus makes of it.

use super::fixture::{LONG, node};
use exo_bus::{
    Bus, Faults, MemoryNetwork, PresenceChange, PresenceKind, RecvError, RequestError, SendError, Service, StreamError,
    StreamReceiver, StreamSender, StreamService, Topic,
};
use std::time::Duration;
use tokio::time::Instant;

const NUMBERS: Topic<u32> = Topic::new("numbers");
const DOUBLE: Service<u32, u32> = Service::new("double");
const COUNT: StreamService<u32, u32> = StreamService::new("count");
const ROLE: PresenceKind<String> = PresenceKind::new("role");

async fn pair(network: &MemoryNetwork) -> (Bus, Bus) {
    (network.join(node("a")).await.expect("joins"), network.join(node("b")).await.expect("joins"))
}

async fn stream(a: &Bus, b: &Bus) -> (StreamReceiver<u32>, StreamSender<u32>) {
    let mut incoming = b.serve_streams(COUNT).await.expect("serves");
    let (receiver, incoming) = tokio::join!(a.open_stream(COUNT, b.node(), &0, LONG), incoming.recv());
    (receiver.expect("opens"), incoming.expect("a stream").sender)
}

/// What one subscriber makes of 0, then `1..count` under faults, then `count` without.
async fn course(seed: u64, count: u32, faults: Faults) -> Vec<Result<u32, RecvError>> {
    let network = MemoryNetwork::new(seed);
    let (a, b) = pair(&network).await;
    let mut subscription = b.subscribe(NUMBERS).await.expect("subscribes");
    for number in 0..=count {
        let faulty = number > 0 && number < count;
        network.set_faults(if faulty { faults.clone() } else { Faults::default() });
        a.publish(NUMBERS, &number).await.expect("publishes");
    }
    let mut course = Vec::new();
    while course.last() != Some(&Ok(count)) {
        course.push(subscription.recv().await);
    }
    course
}

/// In order, and every number read or told to be lost.
fn check_complete(course: &[Result<u32, RecvError>]) {
    let mut next = 0;
    for step in course {
        match step {
            Ok(number) => {
                assert_eq!(u64::from(*number), next);
                next += 1;
            }
            Err(RecvError::Lagged(count)) => next += count,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_on_the_way_is_told() {
    let course = course(3, 500, Faults { loss: 0.3, ..Faults::default() }).await;
    check_complete(&course);
    assert!(course.iter().any(Result::is_err));
}

#[tokio::test(start_paused = true)]
async fn what_arrives_twice_is_read_once() {
    let course = course(3, 500, Faults { duplication: 0.5, ..Faults::default() }).await;
    check_complete(&course);
    assert_eq!(course.len(), 501);
}

#[tokio::test(start_paused = true)]
async fn delays_change_no_order_unless_told_to() {
    let faults = Faults { delay: Duration::ZERO..=Duration::from_millis(50), ..Faults::default() };
    let ordered = course(3, 200, faults.clone()).await;
    check_complete(&ordered);
    assert!(ordered.iter().all(Result::is_ok));
    let reordered = course(3, 200, Faults { reorder: true, ..faults }).await;
    let numbers: Vec<u32> = reordered.into_iter().flatten().collect();
    assert!(numbers.is_sorted(), "a late message is as good as lost");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_takes_the_same_course() {
    let faults = Faults { loss: 0.3, duplication: 0.3, ..Faults::default() };
    let first = course(5, 200, faults.clone()).await;
    assert_eq!(first, course(5, 200, faults.clone()).await);
    assert_ne!(first, course(6, 200, faults).await);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_drawn_from_its_range() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let mut subscription = b.subscribe(NUMBERS).await.expect("subscribes");
    let delay = Duration::from_millis(40)..=Duration::from_millis(60);
    network.set_faults(Faults { delay: delay.clone(), ..Faults::default() });
    let start = Instant::now();
    a.publish(NUMBERS, &1).await.expect("publishes");
    subscription.recv().await.expect("arrives");
    // The clock is paused; it moves in whole milliseconds.
    assert!((*delay.start()..=*delay.end() + Duration::from_millis(1)).contains(&start.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_times_out() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let _requests = b.serve(DOUBLE).await.expect("serves");
    network.set_faults(Faults { loss: 1.0, ..Faults::default() });
    let lost = a.request(DOUBLE, b.node(), &1, LONG).await;
    assert!(matches!(lost, Err(RequestError::Timeout { .. })), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_item_is_a_gap_and_the_sender_is_cancelled() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    sender.send(&0).await.expect("sends");
    network.set_faults(Faults { loss: 1.0, ..Faults::default() });
    sender.send(&1).await.expect("sends");
    network.set_faults(Faults::default());
    sender.send(&2).await.expect("sends");
    assert_eq!(receiver.recv(LONG).await, Ok(Some(0)));
    assert_eq!(receiver.recv(LONG).await, Err(StreamError::Gap { stream: "count", expected: 1, got: 2 }));
    drop(receiver);
    sender.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_end_is_a_timeout_and_a_lost_last_item_a_gap() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    network.set_faults(Faults { loss: 1.0, ..Faults::default() });
    sender.send(&0).await.expect("sends");
    network.set_faults(Faults::default());
    sender.finish();
    assert_eq!(receiver.recv(LONG).await, Err(StreamError::Gap { stream: "count", expected: 0, got: 1 }));
    let (mut receiver, sender) = stream(&a, &b).await;
    network.set_faults(Faults { loss: 1.0, ..Faults::default() });
    sender.finish();
    assert!(matches!(receiver.recv(LONG).await, Err(StreamError::IdleTimeout { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lost_cancellation_is_made_up_for_by_the_next_item() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let (receiver, mut sender) = stream(&a, &b).await;
    network.set_faults(Faults { loss: 1.0, ..Faults::default() });
    drop(receiver);
    network.set_faults(Faults::default());
    assert!(!sender.is_cancelled());
    sender.send(&0).await.expect("sends");
    sender.cancelled().await;
    assert!(matches!(sender.send(&1).await, Err(SendError::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_stalls_the_sender_for_a_bounded_time() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let (_receiver, mut sender) = stream(&a, &b).await;
    let stalled = loop {
        if let Err(error) = sender.send(&0).await {
            break error;
        }
    };
    assert!(matches!(stalled, SendError::Stalled { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_seen_within_three_seconds_and_healing_at_once() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let (mut receiver, mut sender) = stream(&a, &b).await;
    let mut watch = a.watch(ROLE).await.expect("watches");
    let _token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    assert!(matches!(watch.recv().await, Ok(PresenceChange::Joined { .. })));

    let cut = Instant::now();
    network.partition(a.node(), b.node());
    assert!(matches!(a.request(DOUBLE, b.node(), &1, LONG).await, Err(RequestError::Unreachable { .. })));
    assert!(matches!(watch.recv().await, Ok(PresenceChange::Left { .. })));
    assert!(cut.elapsed() <= Duration::from_millis(3001));
    assert!(matches!(receiver.recv(LONG).await, Err(StreamError::Lost { .. })));
    assert!(matches!(sender.send(&1).await, Err(SendError::Lost)));

    let healed = Instant::now();
    network.heal(a.node(), b.node());
    assert!(matches!(watch.recv().await, Ok(PresenceChange::Joined { .. })));
    assert_eq!(healed.elapsed(), Duration::ZERO);
    stream(&a, &b).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_partition_is_no_departure() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let mut watch = a.watch(ROLE).await.expect("watches");
    let _token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    assert!(matches!(watch.recv().await, Ok(PresenceChange::Joined { .. })));
    network.partition(a.node(), b.node());
    tokio::time::advance(Duration::from_millis(1500)).await;
    network.heal(a.node(), b.node());
    assert!(tokio::time::timeout(LONG, watch.recv()).await.is_err(), "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn what_a_flood_made_a_reader_lose_is_counted() {
    const NEWS: Topic<u32> = Topic::new("news");
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let mut slow = b.subscribe(NEWS).await.expect("subscribes");
    for number in 0..9_000 {
        a.publish(NEWS, &number).await.expect("publishes");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut lost = 0;
    while let Ok(received) = tokio::time::timeout(Duration::from_secs(1), slow.recv()).await {
        lost += if let Err(RecvError::Lagged(count)) = received { count } else { 0 };
    }
    assert!(lost > 0);
    assert_eq!(b.links().refused["flood"], lost);
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_takes_everything_with_it() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let (mut receiver, _sender) = stream(&a, &b).await;
    let _requests = b.serve(DOUBLE).await.expect("serves");
    network.kill(b.process());
    assert!(matches!(receiver.recv(LONG).await, Err(StreamError::Lost { .. })));
    assert!(matches!(a.request(DOUBLE, b.node(), &1, LONG).await, Err(RequestError::Unreachable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_one_direction_is_seen_by_the_deaf_side_alone() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let (mut of_a, mut of_b) = (a.watch(ROLE).await.expect("watches"), b.watch(ROLE).await.expect("watches"));
    let _a = a.announce(ROLE, &"a".to_owned()).await.expect("announces");
    let _b = b.announce(ROLE, &"b".to_owned()).await.expect("announces");
    for _ in 0..2 {
        assert!(matches!(of_a.recv().await, Ok(PresenceChange::Joined { .. })));
        assert!(matches!(of_b.recv().await, Ok(PresenceChange::Joined { .. })));
    }
    network.cut(a.node(), b.node());
    assert!(matches!(of_b.recv().await, Ok(PresenceChange::Left { .. })), "b does not hear a");
    assert!(tokio::time::timeout(LONG, of_a.recv()).await.is_err(), "a hears b");
    network.heal_all();
    assert!(matches!(of_b.recv().await, Ok(PresenceChange::Joined { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lost_machine_is_missed_after_the_lease_and_answers_nothing_meanwhile() {
    let network = MemoryNetwork::new(1);
    let (a, b) = pair(&network).await;
    let _requests = b.serve(DOUBLE).await.expect("serves");
    let mut watch = a.watch(ROLE).await.expect("watches");
    let _token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    assert!(matches!(watch.recv().await, Ok(PresenceChange::Joined { .. })));
    let lost = Instant::now();
    network.vanish(b.process());
    let asked = a.request(DOUBLE, b.node(), &1, Duration::from_secs(1)).await;
    assert!(matches!(asked, Err(RequestError::Timeout { .. })), "{asked:?}");
    assert!(matches!(watch.recv().await, Ok(PresenceChange::Left { .. })));
    assert!((Duration::from_secs(2)..Duration::from_millis(2002)).contains(&lost.elapsed()));
    let asked = a.request(DOUBLE, b.node(), &1, LONG).await;
    assert!(matches!(asked, Err(RequestError::Unreachable { .. })), "{asked:?}");
}
