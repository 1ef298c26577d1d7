//! A member of the cluster that does not behave: its links are good, and it speaks for another node.

use super::*;
use crate::LinkReport;
use crate::error::RequestError;
use crate::names::{PresenceKind, Service, Topic};
use crate::presence::PresenceChange;
use exo_identity::Identity;
use exo_types::NodeId;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

const NEWS: Topic<String> = Topic::new("news");
const DOUBLE: Service<u32, u32> = Service::new("double");
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
        let process = if steals_process { victim.process() } else { own };
        let rogue = Bus::join(node("victim"), process, Arc::new(transport)).await.expect("joins");
        for bus in [&honest, &victim, &rogue] {
            let linked = bus.links_where(|links| links.neighbours.len() >= 2);
            timeout(LONG, linked).await.expect("three that know one meet");
        }
        Self { honest, victim, rogue }
    }

    /// Returns once the honest one has refused more than that.
    async fn refused_more_than(&self, before: u64) {
        let refused = self.honest.links_where(|links| foreign_ids(links) > before);
        timeout(LONG, refused).await.expect("it is counted");
    }

    fn foreign_ids(&self) -> u64 {
        foreign_ids(&self.honest.links())
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

fn foreign_ids(links: &LinkReport) -> u64 {
    links.refused.get("foreign_id").copied().unwrap_or_default()
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
