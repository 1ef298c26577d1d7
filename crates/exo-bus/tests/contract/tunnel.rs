//! Who gets a link, and who does not.

use super::fixture::{LONG, admitted, found, free_port, meet, node, within};
use super::wire::Wire;
use exo_bus::{Bus, PresenceChange, PresenceKind, Scouting, StreamError, StreamService, Topic, ZenohConfig};
use exo_identity::{BUS, Identity, Members, server_name};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

const NEWS: Topic<String> = Topic::new("news");
const ROLE: PresenceKind<String> = PresenceKind::new("role");
const COUNT: StreamService<u32, u32> = StreamService::new("count");
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Without multicast: at that port, knowing those ports.
fn config(identity: Identity, port: u16, peers: &[u16]) -> ZenohConfig {
    ZenohConfig {
        port,
        scouting: Scouting::Off,
        static_peers: peers.iter().map(|port| format!("127.0.0.1:{port}")).collect(),
        loopback_only: true,
        ..ZenohConfig::new(identity)
    }
}

async fn join(identity: Identity, port: u16, peers: &[u16]) -> Bus {
    config(identity, port, peers).join().await.expect("joins")
}

/// Returns once so many links are there.
async fn linked(bus: &Bus, count: usize) {
    within(bus.links_where(|links| links.neighbours.len() == count)).await;
}

/// Returns once a refusal of that kind was counted.
async fn refused(bus: &Bus, word: &str) {
    let counted = bus.links_where(|links| links.refused.contains_key(word));
    if tokio::time::timeout(LONG, counted).await.is_err() {
        panic!("{word} was not counted, but {:?}", bus.links().refused);
    }
}

/// A node of the cluster and its port.
async fn node_alone() -> (Identity, Bus, u16) {
    let (identity, port) = (found("a"), free_port());
    let bus = join(identity.clone(), port, &[]).await;
    (identity, bus, port)
}

async fn all_meet(peers: [&[usize]; 3]) {
    let first = found("a");
    let ports = [free_port(), free_port(), free_port()];
    let names = ["a", "b", "c"];
    let mut buses = Vec::new();
    for (name, (port, knows)) in names.into_iter().zip(ports.into_iter().zip(peers)) {
        let knows: Vec<u16> = knows.iter().map(|index| ports[*index]).collect();
        buses.push(join(admitted(&first, name), port, &knows).await);
    }
    for bus in &buses {
        linked(bus, 2).await;
    }
    meet(&buses[0], &buses[1]).await;
    meet(&buses[1], &buses[2]).await;
    meet(&buses[2], &buses[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_that_each_know_one_all_meet() {
    all_meet([&[1], &[2], &[0]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_acquaintances_becomes_a_circle() {
    all_meet([&[], &[0], &[1]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_who_knows_the_first_meets_all_others() {
    all_meet([&[], &[0], &[0]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_call_each_other_have_one_link_and_one_that_calls_itself_none() {
    let first = found("a");
    let ports = [free_port(), free_port()];
    let a = join(admitted(&first, "a"), ports[0], &ports).await;
    let b = join(admitted(&first, "b"), ports[1], &ports).await;
    meet(&a, &b).await;
    let (mut changes, token) = (b.watch(ROLE).await.expect("watches"), a.announce(ROLE, &"x".to_owned()).await);
    let _token = token.expect("announces");
    within(changes.recv()).await.expect("sees it");
    // A link that is replaced would be seen as a loss.
    let lost = tokio::time::timeout(Duration::from_millis(1500), changes.recv()).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!((a.links().neighbours.len(), b.links().neighbours.len()), (1, 1));
    assert_eq!(a.links().neighbours[0].node, node("b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_lost_without_a_word_is_missed_because_it_acknowledges_nothing() {
    let (first, a, port) = node_alone().await;
    let mut wire = Wire::to(port).await;
    let b = join(admitted(&first, "b"), 0, &[wire.port()]).await;
    let (mut changes, token) = (a.watch(ROLE).await.expect("watches"), b.announce(ROLE, &"x".to_owned()).await);
    let _token = token.expect("announces");
    assert!(matches!(within(changes.recv()).await, Ok(PresenceChange::Joined { .. })));
    assert_eq!((a.links().lost, b.links().lost), (0, 0));
    wire.cut();
    // Whoever notices it first calls the other anew, and ends the old link there.
    let noticed = async {
        tokio::select! {
            _ = a.links_where(|links| links.lost > 0) => {}
            _ = b.links_where(|links| links.lost > 0) => {}
        }
    };
    within(noticed).await;
    assert!(matches!(within(changes.recv()).await, Ok(PresenceChange::Left { .. })));
}

/// Of two that do not lead, whose link rests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_machine_is_missed_by_who_awaits_something_from_it_though_another_leads() {
    let (first, a, port) = node_alone().await;
    let mut wire = Wire::to(port).await;
    let b = join(admitted(&first, "b"), 0, &[wire.port()]).await;
    [&a, &b].into_iter().for_each(|bus| bus.follow(Some(&node("c"))));
    let mut served = b.serve_streams(COUNT).await.expect("serves");
    meet(&a, &b).await;
    let opened = async { tokio::join!(a.open_stream(COUNT, b.node(), &7, LONG), served.recv()) };
    let (receiver, _sender) = within(opened).await;
    let mut receiver = receiver.expect("opens");
    wire.cut();
    let ended = receiver.recv(LONG).await;
    assert!(matches!(ended, Err(StreamError::Lost { .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_on_the_machine_of_a_lost_leader_is_missed_with_it() {
    let (first, a, port) = node_alone().await;
    let (mut to_worker, mut to_master) = (Wire::to(port).await, Wire::to(port).await);
    let lost = admitted(&first, "b");
    let worker = join(lost.clone(), 0, &[to_worker.port()]).await;
    // It knows no other way to the first node before it has this one.
    linked(&a, 1).await;
    let master = ZenohConfig { admits: true, ..config(lost, 0, &[to_master.port()]) }.join().await.expect("joins");
    linked(&a, 2).await;
    let mut changes = a.watch(ROLE).await.expect("watches");
    let _token = worker.announce(ROLE, &"x".to_owned()).await.expect("announces");
    assert!(matches!(within(changes.recv()).await, Ok(PresenceChange::Joined { .. })));
    [&a, &worker, &master].into_iter().for_each(|bus| bus.follow(Some(&node("b"))));
    to_worker.cut();
    to_master.cut();
    assert!(matches!(within(changes.recv()).await, Ok(PresenceChange::Left { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_over_a_link_is_counted_at_both_ends() {
    const MUCH: usize = 1 << 20;
    let (first, a, port) = node_alone().await;
    let b = join(admitted(&first, "b"), 0, &[port]).await;
    let mut news = b.subscribe(NEWS).await.expect("subscribes");
    meet(&a, &b).await;
    let before = a.links().traffic;
    a.publish(NEWS, &"x".repeat(MUCH)).await.expect("publishes");
    within(news.recv()).await.expect("arrives");
    let (sent, received) = (a.links().neighbours[0].traffic.sent, b.links().neighbours[0].traffic.received);
    for counted in [sent, received, a.links().traffic.sent - before.sent] {
        // What TLS, frames and greetings add is a small part of it.
        assert!((MUCH as u64..MUCH as u64 * 11 / 10).contains(&counted), "{counted}");
    }
    b.close().await;
    linked(&a, 0).await;
    assert!(a.links().traffic.sent >= sent, "what went over a link that ended stays counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_cluster_an_expired_and_a_revoked_one_open_no_link() {
    let (first, a, port) = node_alone().await;
    let expired = first.vouch(node("b"), SystemTime::now() - 40 * DAY).expect("vouches");
    let expired = Identity::from_parts(&expired).expect("a good identity of yesterday");
    let revoked = admitted(&first, "c");
    let mut members = Members::default();
    members.revoked.insert(revoked.key_fingerprint(), node("c"));
    first.set_members(members);
    for (identity, at_caller, at_called) in [
        (found("a"), "other_cluster", "refused_by_peer"),
        (expired, "refused_by_peer", "expired"),
        (revoked, "refused_by_peer", "revoked"),
    ] {
        let stranger = join(identity, 0, &[port]).await;
        refused(&stranger, at_caller).await;
        refused(&a, at_called).await;
        assert!(stranger.links().neighbours.is_empty());
    }
    assert!(a.links().neighbours.is_empty());
    let friend = join(admitted(&first, "d"), 0, &[port]).await;
    meet(&a, &friend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_cluster_does_not_know_for_a_node_opens_no_link() {
    let (first, a, port) = node_alone().await;
    let mut members = Members::default();
    members.admitted.insert(node("b"), admitted(&first, "b").key_fingerprint());
    first.set_members(members);
    let _impostor = join(admitted(&first, "b"), 0, &[port]).await;
    refused(&a, "other_key").await;
    assert!(a.links().neighbours.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_closes_links_at_once_and_nobody_elses() {
    let (first, a, port) = node_alone().await;
    let (thrown_out, stays) = (admitted(&first, "b"), admitted(&first, "c"));
    let b = join(thrown_out.clone(), 0, &[port]).await;
    let c = join(stays, 0, &[port]).await;
    linked(&a, 2).await;
    let mut news = b.subscribe(NEWS).await.expect("subscribes");
    meet(&a, &b).await;
    a.publish(NEWS, &"before".to_owned()).await.expect("publishes");
    assert_eq!(within(news.recv()).await.expect("linked"), "before");
    let mut members = Members::default();
    members.revoked.insert(thrown_out.key_fingerprint(), node("b"));
    first.set_members(members);
    linked(&a, 1).await;
    assert_eq!(a.links().neighbours[0].node, node("c"));
    meet(&a, &c).await;
    a.publish(NEWS, &"after".to_owned()).await.expect("publishes");
    let heard = tokio::time::timeout(Duration::from_millis(300), news.recv()).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_drops_no_link_and_is_used_by_the_next() {
    let (first, a, port) = node_alone().await;
    let identity = admitted(&first, "b");
    let b = join(identity.clone(), 0, &[port]).await;
    meet(&a, &b).await;
    let mut members = Members::default();
    let mut watch = a.watch(ROLE).await.expect("watches");
    let _token = b.announce(ROLE, &"x".to_owned()).await.expect("announces");
    within(watch.recv()).await.expect("sees it");
    identity.replace(&first.vouch(node("b"), SystemTime::now()).expect("vouches")).expect("good");
    // From now on the first node knows the new key only.
    members.revoked.insert(found("x").key_fingerprint(), node("x"));
    first.set_members(members);
    let lost = tokio::time::timeout(Duration::from_millis(300), watch.recv()).await;
    assert!(lost.is_err(), "{lost:?}");
    let c = join(admitted(&first, "c"), 0, &[port]).await;
    meet(&b, &c).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_any_kind_on_the_port_disturb_nobody() {
    let (first, a, port) = node_alone().await;
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 70_000], vec![0; 3], vec![22, 3, 1, 0xff, 0xff]] {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects");
        // It may hang up in the middle.
        let _hung_up = stream.write_all(&garbage);
        let _shut = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(LONG)).expect("a good time");
        let _answer = stream.read_to_end(&mut Vec::new());
    }
    refused(&a, "protocol").await;
    let b = join(admitted(&first, "b"), 0, &[port]).await;
    meet(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_nothing_keeps_nobody_out_and_is_cut_off() {
    let (first, a, port) = node_alone().await;
    let crowd: Vec<TcpStream> =
        (0..150).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects")).collect();
    let b = join(admitted(&first, "b"), 0, &[port]).await;
    meet(&a, &b).await;
    assert!(a.links().half_open <= 64, "{}", a.links().half_open);
    refused(&a, "crowded_out").await;
    refused(&a, "silent").await;
    for mut caller in crowd {
        caller.set_read_timeout(Some(LONG)).expect("a good time");
        // Closed, not timed out.
        let ended = caller.read(&mut [0; 1]);
        assert!(ended.as_ref().is_ok_and(|read| *read == 0) || ended.as_ref().is_err_and(was_cut), "{ended:?}");
    }
}

fn was_cut(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ConnectionReset
}

/// A member of the cluster that does not behave: TLS by the book, and then these bytes.
fn rogue(identity: &Identity, port: u16, bytes: &[u8]) -> Vec<u8> {
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects");
    tcp.set_read_timeout(Some(LONG)).expect("a good time");
    let connection = ClientConnection::new(identity.client_config(BUS).expect("good"), server_name()).expect("good");
    let mut stream = StreamOwned::new(connection, tcp);
    stream.write_all(bytes).expect("writes");
    stream.flush().expect("writes");
    let mut answer = Vec::new();
    // It is hung up on without a goodbye.
    let _cut = stream.read_to_end(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_sends_garbage_or_claims_a_foreign_name_opens_no_link() {
    let (first, a, port) = node_alone().await;
    let member = admitted(&first, "b");
    let send = async |bytes: Vec<u8>| {
        let member = member.clone();
        tokio::task::spawn_blocking(move || rogue(&member, port, &bytes)).await.expect("no panic")
    };
    send(vec![9; 8]).await;
    refused(&a, "garbage").await;
    send(vec![1, 0xff, 0xff, 0xff]).await;
    send(vec![1, 3, 0, 0, 1, 2, 3]).await;
    #[derive(serde::Serialize)]
    struct Hello {
        node: &'static str,
        place: Place,
        admits: bool,
    }
    #[derive(serde::Serialize)]
    struct Place {
        id: [u8; 16],
        addresses: Vec<String>,
    }
    let hello = Hello { node: "a", place: Place { id: [7; 16], addresses: Vec::new() }, admits: true };
    let body = rmp_serde::to_vec_named(&hello).expect("encodes");
    let length = u8::try_from(body.len()).expect("short");
    send([&[1, length, 0, 0], body.as_slice()].concat()).await;
    refused(&a, "other_name").await;
    assert!(a.links().neighbours.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zenoh_without_a_certificate_neither_reads_nor_writes_a_topic() {
    let (_first, a, port) = node_alone().await;
    let mut news = a.subscribe(NEWS).await.expect("subscribes");
    let mut config = zenoh::Config::default();
    for (key, value) in [
        ("mode", "\"peer\"".to_owned()),
        ("connect/endpoints", format!("[\"tcp/127.0.0.1:{port}\"]")),
        ("connect/timeout_ms", "1000".to_owned()),
        ("connect/exit_on_failure", "false".to_owned()),
        ("listen/endpoints", "[]".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
    ] {
        config.insert_json5(key, &value).expect("a good key");
    }
    let spy = zenoh::open(config).await.expect("opens");
    let overheard = spy.declare_subscriber("**").await.expect("subscribes");
    spy.put("exo/lab/topic/news", b"forged".to_vec()).await.expect("believes that it writes");
    refused(&a, "protocol").await;
    a.publish(NEWS, &"secret".to_owned()).await.expect("publishes");
    assert_eq!(within(news.recv()).await.expect("its own"), "secret");
    while let Some(sample) = overheard.try_recv().expect("open") {
        assert_eq!(sample.payload().to_bytes(), b"forged".as_slice(), "it hears nobody but itself");
    }
    spy.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_of_the_desk_is_answered_with_or_without_a_clerk() {
    use exo_identity::{AdmissionReply, RefusalKind, join_client_config};
    let (first, _a, port) = node_alone().await;
    let ask = || {
        let cluster = first.cluster();
        tokio::task::spawn_blocking(move || {
            let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects");
            tcp.set_read_timeout(Some(LONG)).expect("a good time");
            let connection = ClientConnection::new(join_client_config(cluster).expect("good"), server_name());
            let mut stream = StreamOwned::new(connection.expect("good"), tcp);
            stream.write_all(&[3, 0, 0, 0, b'a', b's', b'k']).expect("writes");
            stream.flush().expect("writes");
            let mut reply = Vec::new();
            let _end = stream.read_to_end(&mut reply);
            reply
        })
    };
    let reply = within(ask()).await.expect("no panic");
    let decoded = AdmissionReply::decode(&reply[4..]).expect("a reply");
    assert!(matches!(decoded, AdmissionReply::Refused(refused) if refused.kind == RefusalKind::NotAMaster));
    let mut visits = first.desk().open();
    let asked = ask();
    let visit = within(visits.recv()).await.expect("a visit");
    assert_eq!(visit.request, b"ask");
    visit.answer(b"answer".to_vec());
    assert_eq!(within(asked).await.expect("no panic")[4..], *b"answer");
}
