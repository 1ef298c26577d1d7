use super::fixture::{Fixture, pair, within};
use exo_bus::{MESSAGE_LIMIT, PublishError, RecvError, Topic};

const NUMBERS: Topic<u32> = Topic::new("numbers");
const TEXT: Topic<String> = Topic::new("text");

pub async fn messages_arrive_in_order_at_all_subscribers(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let (mut far, mut near) = (b.subscribe(NUMBERS).await.expect("far"), a.subscribe(NUMBERS).await.expect("near"));
    settle(&a, &b).await;
    for number in 0..500 {
        a.publish(NUMBERS, &number).await.expect("publishes");
    }
    for number in 0..500 {
        assert_eq!(within(far.recv()).await, Ok(number));
        assert_eq!(within(near.recv()).await, Ok(number));
    }
}

pub async fn a_message_of_another_shape_is_told_and_skipped(fixture: &impl Fixture) {
    const WRITTEN: Topic<String> = Topic::new("numbers");
    let (a, b) = pair(fixture).await;
    let mut subscription = b.subscribe(NUMBERS).await.expect("subscribes");
    settle(&a, &b).await;
    a.publish(WRITTEN, &"seven".to_owned()).await.expect("publishes");
    a.publish(NUMBERS, &8).await.expect("publishes");
    let Err(RecvError::Undecodable { name: "numbers", from, .. }) = within(subscription.recv()).await else {
        panic!("should not be readable");
    };
    assert_eq!(from, "a");
    assert_eq!(b.links().refused["garbage"], 1);
    assert_eq!(within(subscription.recv()).await, Ok(8));
}

pub async fn a_slow_reader_is_told_how_much_it_lost(fixture: &impl Fixture) {
    const LAST: Topic<u32> = Topic::new("last");
    let (a, b) = pair(fixture).await;
    let mut slow = b.subscribe(NUMBERS).await.expect("subscribes");
    let mut last = b.subscribe(LAST).await.expect("subscribes");
    settle(&a, &b).await;
    for number in 0..9_000 {
        a.publish(NUMBERS, &number).await.expect("publishes");
    }
    a.publish(LAST, &0).await.expect("publishes");
    // All of one sender comes in order: with this all the others are there or lost.
    assert_eq!(within(last.recv()).await, Ok(0));
    let (mut read, mut lost) = (0, 0);
    while read + lost < 9_000 {
        match within(slow.recv()).await {
            Ok(number) => {
                assert_eq!(u64::from(number), read + lost);
                read += 1;
            }
            Err(RecvError::Lagged(count)) => lost += count,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lost > 0, "9000 should be more than are kept");
}

pub async fn a_large_message_arrives_and_a_larger_one_is_refused(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut subscription = b.subscribe(TEXT).await.expect("subscribes");
    settle(&a, &b).await;
    let large = "x".repeat(MESSAGE_LIMIT / 4);
    a.publish(TEXT, &large).await.expect("publishes");
    assert_eq!(within(subscription.recv()).await.map(|text| text.len()), Ok(large.len()));
    let refused = a.publish(TEXT, &"x".repeat(MESSAGE_LIMIT)).await;
    assert!(matches!(refused, Err(PublishError::TooLarge { name: "text", .. })));
}

pub async fn closing_ends_every_wait(fixture: &impl Fixture) {
    let bus = fixture.join("a").await;
    let mut subscription = bus.subscribe(NUMBERS).await.expect("subscribes");
    let again = bus.clone();
    let (received, ()) = within(async { tokio::join!(subscription.recv(), bus.close()) }).await;
    assert_eq!(received, Err(RecvError::Closed));
    assert!(matches!(again.publish(NUMBERS, &1).await, Err(PublishError::Closed)));
}

/// A subscription takes a moment to be known elsewhere: what is declared in order is known in order.
async fn settle(a: &exo_bus::Bus, b: &exo_bus::Bus) {
    super::fixture::meet(a, b).await;
}
