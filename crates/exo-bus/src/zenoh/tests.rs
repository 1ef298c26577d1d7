//! A member of the cluster that does not behave: its links are good, and it speaks for another node.

use super::seal::{CODED, SIGNED};
use super::*;
use crate::LinkReport;
use crate::error::RequestError;
use crate::names::{PresenceKind, Service, StreamService, Topic};
use crate::presence::PresenceChange;
use exo_identity::Identity;
use exo_types::NodeId;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use zenoh::query::{ConsolidationMode, QueryTarget};

const NEWS: Topic<String> = Topic::new("news");
const DOUBLE: Service<u32, u32> = Service::new("double");
const COUNT: StreamService<u32, u32> = StreamService::new("count");
const ROLE: PresenceKind<String> = PresenceKind::new("role");
const LISTENS: PresenceKind<String> = PresenceKind::new("listens");

/// Long enough for a machine that does much else; nothing waits for it to pass.
const LONG: Duration = Duration::from_secs(20);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn config(identity: Identity, port: u16, peer: Option<u16>) -> ZenohConfig {
    ZenohConfig {
        port,
        scouting: Scouting::Off,
        static_peers: peer.map(|port| format!("127.0.0.1:{port}")).into_iter().collect(),
        loopback_only: true,
        ..ZenohConfig::new(identity)
    }
}

/// Three that are linked: `honest`, `victim`, and `rogue`, which has a certificate of its own and speaks as the victim,
/// with the victim's process or with its own.
struct World {
    honest: Bus,
    victim: Bus,
    rogue: Bus,
    /// The rogue's, with which it puts what it likes.
    unsealed: zenoh::Session,
}

impl World {
    async fn new(steals_process: bool) -> Self {
        let first = Identity::found(node("honest"), "lab", SystemTime::now()).expect("founds");
        let member = |name: &str| {
            let parts = first.vouch(node(name), SystemTime::now()).expect("the first one has the authority");
            Identity::from_parts(&parts).expect("a good identity")
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let port = port.expect("a free port").port();
        let honest = config(first.clone(), port, None).join().await.expect("joins");
        let victim = config(member("victim"), 0, Some(port)).join().await.expect("joins");
        let (own, transport) = config(member("rogue"), 0, Some(port)).open().await.expect("opens");
        let unsealed = transport.unsealed();
        let process = if steals_process { victim.process() } else { own };
        let rogue = Bus::join(node("victim"), process, Arc::new(transport)).await.expect("joins");
        for bus in [&honest, &victim, &rogue] {
            let linked = bus.links_where(|links| links.neighbours.len() >= 2);
            timeout(LONG, linked).await.expect("three that know one meet");
        }
        Self { honest, victim, rogue, unsealed }
    }

    /// Returns once the honest one has refused more than that.
    async fn refused_more_than(&self, before: u64) {
        self.counted("foreign_id", before).await;
    }

    /// Returns once the honest one has counted more of that than it had.
    async fn counted(&self, word: &str, before: u64) {
        let refused = self.honest.links_where(|links| count_of(links, word) > before);
        timeout(LONG, refused).await.unwrap_or_else(|_| panic!("{word} is not in {:?}", self.honest.links().refused));
    }

    fn foreign_ids(&self) -> u64 {
        count_of(&self.honest.links(), "foreign_id")
    }

    /// Returns once `other` knows what `bus` has subscribed to and serves: what is announced behind it comes behind it.
    async fn is_known(bus: &Bus, other: &Bus) -> Result<(), BusError> {
        let mut watch = other.watch(LISTENS).await?;
        let _token = bus.announce(LISTENS, &bus.node().to_string()).await.expect("announces");
        let seen = async {
            while !matches!(watch.recv().await, Ok(PresenceChange::Joined { node, .. }) if node == *bus.node()) {}
        };
        timeout(LONG, seen).await.expect("it is seen");
        Ok(())
    }
}

fn count_of(links: &LinkReport, word: &str) -> u64 {
    links.refused.get(word).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_and_is_put_again_is_counted_and_heard_once() {
    const PLACE: &str = "exo/lab/topic/news";
    let world = World::new(false).await;
    let mut news = world.honest.subscribe(NEWS).await.expect("subscribes");
    let recorder = world.unsealed.declare_subscriber(PLACE).await.expect("any member may listen");
    for speaker in [&world.rogue, &world.victim] {
        World::is_known(&world.honest, speaker).await.expect("watches");
    }
    // What the recorder announces behind its subscription is not believed, and shows that the victim knows of it.
    let _watch = world.victim.watch(ROLE).await.expect("watches");
    let _forged = world.rogue.announce(ROLE, &"recorder".to_owned()).await.expect("leaves");
    let known = world.victim.links_where(|links| count_of(links, "foreign_id") > 0);
    timeout(LONG, known).await.expect("it is counted");
    world.victim.publish(NEWS, &"first".to_owned()).await.expect("leaves");
    let recorded = timeout(LONG, recorder.recv_async()).await.expect("in time").expect("a message");
    assert_eq!(timeout(LONG, news.recv()).await.expect("in time"), Ok("first".to_owned()));
    world.unsealed.put(PLACE, recorded.payload().clone()).await.expect("leaves");
    // The seal is the victim's own and good; that it is old is seen by whoever reads the topic.
    let mut next = Box::pin(news.recv());
    let replayed = async {
        tokio::select! {
            () = world.counted("replayed", 0) => {}
            heard = &mut next => panic!("{heard:?} was heard twice"),
        }
    };
    replayed.await;
    world.victim.publish(NEWS, &"second".to_owned()).await.expect("leaves");
    assert_eq!(timeout(LONG, next).await.expect("in time"), Ok("second".to_owned()));
}

fn seal_of(payload: &zenoh::bytes::ZBytes) -> Option<u8> {
    payload.to_bytes().last().copied()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_everybody_reads_is_signed() {
    const PLACE: &str = "exo/lab/service/double/victim";
    let World { honest, victim, rogue, unsealed } = World::new(false).await;
    let mut questions = victim.serve(DOUBLE).await.expect("serves");
    let mut streams = victim.serve_streams(COUNT).await.expect("serves");
    let asked = unsealed.declare_queryable(PLACE).await.expect("any member may listen");
    let put = unsealed.declare_subscriber("exo/lab/**").await.expect("any member may listen");
    World::is_known(&victim, &honest).await.expect("watches");
    // What the listener announces behind that is not believed, and shows that both know who listens.
    let _watches = (honest.watch(ROLE).await.expect("watches"), victim.watch(ROLE).await.expect("watches"));
    let _forged = rogue.announce(ROLE, &"listener".to_owned()).await.expect("leaves");
    for bus in [&honest, &victim] {
        let known = bus.links_where(|links| count_of(links, "foreign_id") > 0);
        timeout(LONG, known).await.expect("it is counted");
    }
    let mut answer = async || questions.recv().await.expect("a question").reply(&42).expect("leaves");
    let victim_node = node("victim");
    let (answered, ()) = tokio::join!(honest.request(DOUBLE, &victim_node, &21, LONG), answer());
    assert_eq!(answered.expect("an answer"), 42);
    let question = timeout(LONG, asked.recv_async()).await.expect("in time").expect("a question");
    let question = question.payload().expect("it says something");
    assert_eq!(seal_of(question), Some(CODED));
    // Who heard the question and asks it again gets the answer to it, which is for the honest one.
    let again = unsealed.get(PLACE).payload(question.clone());
    let again = again.target(QueryTarget::All).consolidation(ConsolidationMode::None).await.expect("leaves");
    let (reply, ()) = tokio::join!(timeout(LONG, again.recv_async()), answer());
    let reply = reply.expect("in time").expect("an answer").into_result().expect("a good one");
    assert_eq!(seal_of(reply.payload()), Some(CODED));
    victim.publish(NEWS, &"true".to_owned()).await.expect("leaves");
    let heard = timeout(LONG, put.recv_async()).await.expect("in time").expect("a message");
    assert_eq!((heard.key_expr().as_str(), seal_of(heard.payload())), ("exo/lab/topic/news", Some(SIGNED)));
    let mut count = async || streams.recv().await.expect("a stream").sender.send(&7).await.expect("leaves");
    let (stream, ()) = tokio::join!(honest.open_stream(COUNT, &victim_node, &1, LONG), count());
    let _stream = stream.expect("opens");
    let frame = timeout(LONG, put.recv_async()).await.expect("in time").expect("a frame");
    assert_eq!(seal_of(frame.payload()), Some(CODED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_another_version_is_counted_as_such_and_disturbs_nobody() {
    let world = World::new(false).await;
    let mut news = world.honest.subscribe(NEWS).await.expect("subscribes");
    for speaker in [&world.rogue, &world.victim] {
        World::is_known(&world.honest, speaker).await.expect("watches");
    }
    let newer = [u8::MAX; 200];
    world.unsealed.put("exo/lab/topic/news", newer.to_vec()).await.expect("leaves");
    world.counted("other_version", 0).await;
    assert_eq!(count_of(&world.honest.links(), "garbage"), 0);
    world.victim.publish(NEWS, &"true".to_owned()).await.expect("leaves");
    assert_eq!(timeout(LONG, news.recv()).await.expect("in time"), Ok("true".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_says_under_another_name_is_refused_and_counted() {
    for steals_process in [false, true] {
        let world = World::new(steals_process).await;
        let mut news = world.honest.subscribe(NEWS).await.expect("subscribes");
        for speaker in [&world.rogue, &world.victim] {
            World::is_known(&world.honest, speaker).await.expect("watches");
        }
        world.rogue.publish(NEWS, &"forged".to_owned()).await.expect("leaves");
        world.refused_more_than(0).await;
        world.victim.publish(NEWS, &"true".to_owned()).await.expect("leaves");
        let heard = timeout(LONG, news.recv()).await.expect("in time");
        assert_eq!(heard, Ok("true".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_asks_or_answers_under_another_name() {
    let world = World::new(false).await;
    let (mut of_honest, mut of_victim) =
        (world.honest.serve(DOUBLE).await.expect("serves"), world.victim.serve(DOUBLE).await.expect("serves"));
    let mut forged = world.rogue.serve(DOUBLE).await.expect("believes that it serves as the victim");
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        loop {
            tokio::select! {
                Ok(question) = of_honest.recv() => drop(question.reply(&0)),
                Ok(question) = of_victim.recv() => { let answer = question.request * 2; drop(question.reply(&answer)) },
                Ok(question) = forged.recv() => drop(question.reply(&666)),
            }
        }
    });
    World::is_known(&world.victim, &world.honest).await.expect("watches");
    World::is_known(&world.honest, &world.rogue).await.expect("watches");
    let answered = world.honest.request(DOUBLE, &node("victim"), &21, LONG).await;
    assert_eq!(answered.expect("an answer"), 42, "the victim's own answer");
    let before = world.foreign_ids();
    let asked = world.rogue.request(DOUBLE, &node("honest"), &1, LONG).await;
    assert!(matches!(asked, Err(RequestError::Unreachable { .. })), "{asked:?}");
    world.refused_more_than(before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_seen_under_another_name() {
    let world = World::new(true).await;
    let mut watch = world.honest.watch(ROLE).await.expect("watches");
    let before = world.foreign_ids();
    let _forged = world.rogue.announce(ROLE, &"leader".to_owned()).await.expect("believes that it announces");
    world.refused_more_than(before).await;
    let _true = world.victim.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    let seen = timeout(LONG, watch.recv()).await.expect("in time").expect("a change");
    let PresenceChange::Joined { node: who, payload, .. } = seen else { panic!("{seen:?}") };
    assert_eq!((who, payload), (node("victim"), "worker".to_owned()));
}
