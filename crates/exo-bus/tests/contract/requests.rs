use super::fixture::{Fixture, LONG, meet, node, pair, within};
use exo_bus::{Bus, Incoming, RecvError, RequestError, Requests, Service};
use std::time::Duration;

const DOUBLE: Service<u32, u32> = Service::new("double");

/// The next question and a caller that waits for its answer.
async fn ask(
    from: &Bus,
    to: &Bus,
    requests: &mut Requests<u32, u32>,
    answer: impl FnOnce(Incoming<u32, u32>),
) -> Result<u32, RequestError> {
    let (answered, ()) = within(async {
        tokio::join!(from.request(DOUBLE, to.node(), &21, LONG), async {
            answer(requests.recv().await.expect("a question"));
        })
    })
    .await;
    answered
}

pub async fn a_request_is_answered_refused_or_cannot_be_read(fixture: &impl Fixture) {
    const TEXT: Service<u32, String> = Service::new("double");
    const WORDS: Service<String, u32> = Service::new("double");
    let (a, b) = pair(fixture).await;
    let mut requests = b.serve(DOUBLE).await.expect("serves");
    meet(&a, &b).await;
    let answered = ask(&a, &b, &mut requests, |question| {
        assert_eq!((question.request, &question.from), (21, &node("a")));
        let answer = question.request * 2;
        question.reply(&answer).expect("small");
    });
    assert_eq!(answered.await.expect("an answer"), 42);
    let refused = ask(&a, &b, &mut requests, |question| question.refuse("not today")).await;
    assert!(matches!(refused, Err(RequestError::Refused(reason)) if reason == "not today"));
    let (unreadable, ()) = within(async {
        tokio::join!(a.request(TEXT, b.node(), &1, LONG), async {
            requests.recv().await.expect("a question").reply(&2).expect("small");
        })
    })
    .await;
    assert!(matches!(unreadable, Err(RequestError::Undecodable { .. })));
    let word = "one".to_owned();
    let (refused, told) =
        within(async { tokio::join!(a.request(WORDS, b.node(), &word, LONG), requests.recv()) }).await;
    assert!(matches!(refused, Err(RequestError::Refused(_))));
    assert!(matches!(told, Err(RecvError::Undecodable { .. })));
}

pub async fn a_request_to_nobody_is_unreachable_at_once(fixture: &impl Fixture) {
    let (a, _b) = pair(fixture).await;
    let nobody = node("c");
    let unreachable = within(a.request(DOUBLE, &nobody, &1, LONG * 10)).await;
    assert!(matches!(unreachable, Err(RequestError::Unreachable { .. })));
}

pub async fn a_request_without_answer_times_out(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let _held = b.serve(DOUBLE).await.expect("serves");
    meet(&a, &b).await;
    let timeout = a.request(DOUBLE, b.node(), &1, Duration::from_millis(20)).await;
    assert!(matches!(timeout, Err(RequestError::Timeout { service: "double", .. })), "{timeout:?}");
}

pub async fn a_dropped_request_is_refused(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut requests = b.serve(DOUBLE).await.expect("serves");
    meet(&a, &b).await;
    assert!(matches!(ask(&a, &b, &mut requests, drop).await, Err(RequestError::Refused(_))));
}

pub async fn a_node_can_ask_itself(fixture: &impl Fixture) {
    let a = fixture.join("a").await;
    let mut requests = a.serve(DOUBLE).await.expect("serves");
    let answered = ask(&a, &a, &mut requests, |question| question.reply(&2).expect("small")).await;
    assert_eq!(answered.expect("an answer"), 2);
}

pub async fn a_server_that_dies_is_unreachable(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut requests = b.serve(DOUBLE).await.expect("serves");
    meet(&a, &b).await;
    let to = b.node().clone();
    let (answered, held) = within(async {
        tokio::join!(a.request(DOUBLE, &to, &1, LONG), async {
            let held = requests.recv().await.expect("a question");
            b.close().await;
            held
        })
    })
    .await;
    assert!(matches!(answered, Err(RequestError::Unreachable { .. })), "{answered:?}");
    drop(held);
}

pub async fn requests_beyond_the_bound_are_refused(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let _nobody_reads = b.serve(DOUBLE).await.expect("serves");
    meet(&a, &b).await;
    let asked = (0..300).map(|_| a.request(DOUBLE, b.node(), &1, LONG));
    let (refused, _waiting) = within(futures::future::select_ok(asked.map(|asked| {
        Box::pin(async {
            match asked.await {
                Err(RequestError::Refused(reason)) => Ok(reason),
                _ => Err(()),
            }
        })
    })))
    .await
    .expect("some are refused");
    assert!(refused.contains("busy"), "{refused}");
    assert!(b.links().refused["flood"] > 0, "{:?}", b.links().refused);
}
