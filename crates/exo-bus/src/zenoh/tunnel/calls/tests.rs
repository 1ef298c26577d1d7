use super::*;
use crate::envelope::{Draft, Header, Kind};
use std::sync::Mutex as StdMutex;
use std::time::Duration;

const KEY: &str = "service/double/b";
const A: ProcessId = ProcessId(1);
const B: ProcessId = ProcessId(2);
const LONG: Duration = Duration::from_secs(20);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

/// A message by a process of a node.
fn written(process: ProcessId, from: &str, text: &str) -> Bytes {
    let header = Header { kind: Kind::Request, process, stream: 0, sequence: 0, from: node(from) };
    Draft::new("double", &header, text).expect("small").into()
}

/// What one process has of the link to another one.
struct End {
    calls: Arc<Calls>,
    clerk: Clerk,
    leaves: mpsc::Receiver<Message>,
}

impl End {
    fn new(calls: &Arc<Calls>, (process, name): (ProcessId, &str)) -> Self {
        let (clerk, leaves) = calls.open(process, node(name));
        Self { calls: calls.clone(), clerk, leaves }
    }
}

/// Process 1 of node a, linked to process 2 of node b, of which it knows that it answers the key.
fn linked() -> (End, End) {
    let [a, b] = [Arc::<Calls>::default(), Arc::default()];
    let (a, b) = (End::new(&a, (B, "b")), End::new(&b, (A, "a")));
    a.calls.learn(KEY, &node("b"), B);
    (a, b)
}

fn until() -> Instant {
    Instant::now() + LONG
}

/// Answers with what was asked, twice.
fn doubles() -> Answer {
    Arc::new(|bytes: Bytes, reply: Reply| reply.send([bytes.clone(), bytes].concat().into()))
}

/// Hands over what one end says to the other, until `done`.
async fn carry<T>(from: &mut End, to: &mut End, done: impl Future<Output = T>) -> T {
    let carrying = async {
        loop {
            tokio::select! {
                Some(message) = from.leaves.recv() => to.clerk.on_message(message).expect("honest"),
                Some(message) = to.leaves.recv() => from.clerk.on_message(message).expect("honest"),
            }
        }
    };
    tokio::select! {
        biased;
        done = done => done,
        () = carrying => unreachable!("it never ends"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_over_the_link() {
    let (mut a, mut b) = linked();
    let _answers = b.calls.answer(KEY, Arc::new(|_, reply| reply.send(written(B, "b", "yes"))));
    let calls = a.calls.clone();
    let question = written(A, "a", "well?");
    let asked = carry(&mut a, &mut b, calls.ask(KEY, &question, until())).await;
    assert_eq!(asked, Asked::Answered(written(B, "b", "yes")));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_answers_there_any_more_is_asked_elsewhere() {
    let (mut a, mut b) = linked();
    let answers = b.calls.answer(KEY, doubles());
    let _newer = b.calls.answer("service/other/b", doubles());
    drop(answers);
    let calls = a.calls.clone();
    let question = written(A, "a", "well?");
    assert_eq!(carry(&mut a, &mut b, calls.ask(KEY, &question, until())).await, Asked::Unknown);
    assert_eq!(calls.ask(KEY, &question, until()).await, Asked::Unknown, "and not asked there again");
    assert!(a.leaves.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_dropped_is_told_and_a_late_answer_is_nobodys() {
    let (mut a, mut b) = linked();
    let kept: Arc<StdMutex<Vec<Reply>>> = Arc::default();
    let keeps = kept.clone();
    let _answers = b.calls.answer(KEY, Arc::new(move |_, reply| keeps.lock().expect("no panic").push(reply)));
    let calls = a.calls.clone();
    let question = written(A, "a", "well?");
    let soon = Instant::now() + Duration::from_millis(10);
    let asked = carry(&mut a, &mut b, calls.ask(KEY, &question, soon)).await;
    assert_eq!(asked, Asked::Failed(CallError::Timeout));
    let late = kept.lock().expect("no panic").pop().expect("it came");
    late.send(written(B, "b", "late"));
    let asked = carry(&mut a, &mut b, async {
        tokio::join!(calls.ask(KEY, &question, until()), async {
            while kept.lock().expect("no panic").pop().is_none() {
                tokio::task::yield_now().await;
            }
        })
        .0
    });
    assert_eq!(asked.await, Asked::Unknown);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_link_ends_its_questions() {
    let (a, b) = linked();
    let (calls, question) = (a.calls.clone(), written(A, "a", "well?"));
    let (asked, ()) = tokio::join!(calls.ask(KEY, &question, until()), async { drop(a) });
    assert_eq!(asked, Asked::Failed(CallError::Nobody));
    assert_eq!(calls.ask(KEY, &question, until()).await, Asked::Unknown);
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn a_newer_link_takes_the_questions_and_the_older_ones_end_does_not_end_it() {
    let (older, mut b) = linked();
    let _answers = b.calls.answer(KEY, Arc::new(|_, reply| reply.send(written(B, "b", "yes"))));
    let calls = older.calls.clone();
    let mut newer = End::new(&calls, (B, "b"));
    drop(older);
    let question = written(A, "a", "well?");
    let asked = carry(&mut newer, &mut b, calls.ask(KEY, &question, until())).await;
    assert_eq!(asked, Asked::Answered(written(B, "b", "yes")));
}

#[tokio::test(start_paused = true)]
async fn only_a_process_of_the_node_is_asked() {
    let (a, _b) = linked();
    let question = written(A, "a", "well?");
    a.calls.learn("service/double/c", &node("c"), B);
    assert_eq!(a.calls.ask("service/double/c", &question, until()).await, Asked::Unknown);
}

#[tokio::test(start_paused = true)]
async fn nobody_speaks_for_another_one_over_a_link() {
    let (mut a, mut b) = linked();
    let heard: Arc<StdMutex<Vec<Bytes>>> = Arc::default();
    let hears = heard.clone();
    let _answers = b.calls.answer(KEY, Arc::new(move |bytes, _| hears.lock().expect("no panic").push(bytes)));
    for (process, name) in [(A, "b"), (A, "c"), (ProcessId(3), "a")] {
        let bytes = written(process, name, "well?");
        let question = Message::Question { number: 1, key: KEY.to_owned(), bytes: bytes.clone() };
        assert!(b.clerk.on_message(question).is_err(), "{name}");
        assert!(b.clerk.on_message(Message::Answer { number: 1, bytes }).is_err(), "{name}");
    }
    let garbage = Message::Question { number: 1, key: KEY.to_owned(), bytes: Bytes::from_static(b"garbage") };
    assert!(b.clerk.on_message(garbage).is_err());
    assert!(heard.lock().expect("no panic").is_empty());
    assert!(b.leaves.try_recv().is_err(), "and gets no answer");

    // Nor does who is asked: the question waits for the right one.
    let (calls, question) = (a.calls.clone(), written(A, "a", "well?"));
    let (asked, ()) = tokio::join!(calls.ask(KEY, &question, until()), async {
        let number = match a.leaves.recv().await {
            Some(Message::Question { number, .. }) => number,
            other => panic!("{other:?}"),
        };
        assert!(a.clerk.on_message(Message::Answer { number, bytes: written(B, "c", "no") }).is_err());
        let right = written(B, "b", "yes");
        a.clerk.on_message(Message::Answer { number, bytes: right }).expect("its own");
    });
    assert_eq!(asked, Asked::Answered(written(B, "b", "yes")));
}

#[tokio::test(start_paused = true)]
async fn what_a_process_asks_of_itself_does_not_leave_it() {
    let (mut a, _b) = linked();
    let _answers = a.calls.answer("service/double/a", doubles());
    let asked = a.calls.ask("service/double/a", &Bytes::from_static(b"ab"), until()).await;
    assert_eq!(asked, Asked::Answered(Bytes::from_static(b"abab")));
    assert!(a.leaves.try_recv().is_err());
}
