//! What only the network between processes can do wrong.

use super::fixture::{Fixture, LONG, Zenoh, free_port, meet, node, within};
use exo_bus::{BusError, PresenceKind, RequestError, Scouting, Service, ZenohConfig};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

const ROLE: PresenceKind<String> = PresenceKind::new("role");
const DOUBLE: Service<u32, u32> = Service::new("double");

/// A port on which nobody listens for hellos.
fn free_discovery_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    socket.local_addr().expect("bound").port()
}

fn scouting(name: &str, namespace: &str, port: u16) -> ZenohConfig {
    ZenohConfig {
        namespace: namespace.to_owned(),
        port: 0,
        scouting: Scouting::Multicast { port },
        loopback_only: true,
        ..ZenohConfig::new(node(name))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_one_machine_find_each_other_by_multicast() {
    let port = free_discovery_port();
    let a = scouting("a", "lab", port).join().await.expect("joins");
    let b = scouting("b", "lab", port).join().await.expect("joins");
    let c = scouting("c", "lab", port).join().await.expect("joins");
    meet(&a, &b).await;
    meet(&b, &c).await;
    meet(&c, &a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_namespaces_never_meet() {
    let (port, discovery) = (free_port(), free_discovery_port());
    let config = |name, namespace, port| ZenohConfig { port, ..scouting(name, namespace, discovery) };
    let knows_a = |config: ZenohConfig| ZenohConfig { static_peers: vec![format!("127.0.0.1:{port}")], ..config };
    let a = config("a", "lab", port).join().await.expect("joins");
    let stranger = knows_a(config("b", "other", 0)).join().await.expect("joins");
    let mut watch = stranger.watch(ROLE).await.expect("watches");
    let _token = a.announce(ROLE, &"master".to_owned()).await.expect("announces");
    let _serves = a.serve(DOUBLE).await.expect("serves");
    // By now the stranger has tried, and the friend got in by the same door.
    let friend = knows_a(config("c", "lab", 0)).join().await.expect("joins");
    meet(&a, &friend).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), watch.recv()).await.is_err());
    let asked = stranger.request(DOUBLE, a.node(), &1, LONG).await;
    assert!(matches!(asked, Err(RequestError::Unreachable { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named_with_the_remedy() {
    let port = free_port();
    let config = |name| ZenohConfig { port, scouting: Scouting::Off, ..scouting(name, "lab", 1) };
    let _first = config("a").join().await.expect("joins");
    let Err(error) = config("b").join().await else { panic!("the port is taken") };
    assert!(matches!(error, BusError::PortInUse { port: taken, .. } if taken == port));
    assert!(error.to_string().contains("networking.clusterPort"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_another_machine_is_named() {
    let elsewhere = "192.0.2.77:52499".parse().expect("an address");
    let config = ZenohConfig {
        listen: vec![elsewhere],
        loopback_only: false,
        scouting: Scouting::Off,
        ..scouting("a", "lab", 1)
    };
    let Err(error) = config.join().await else { panic!("cannot listen there") };
    assert!(matches!(&error, BusError::Listen { address, .. } if address == "192.0.2.77:52499"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_any_kind_on_the_port_disturb_nobody() {
    let port = free_port();
    let config = ZenohConfig { port, scouting: Scouting::Off, ..scouting("a", "lab", 1) };
    let a = config.clone().join().await.expect("joins");
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 70_000], vec![0; 3]] {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects");
        // It may hang up in the middle.
        let _hung_up = stream.write_all(&garbage);
        let _shut = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(LONG)).expect("a good time");
        let _answer = stream.read_to_end(&mut Vec::new());
    }
    let peer = ZenohConfig { port: 0, static_peers: vec![format!("127.0.0.1:{port}")], ..config };
    let b = ZenohConfig { node: node("b"), ..peer }.join().await.expect("joins");
    meet(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_later_is_waited_for() {
    let zenoh = Zenoh::new();
    let early = zenoh.config("b").join().await.expect("joins without its peer");
    let late = zenoh.join("a").await;
    within(meet(&early, &late)).await;
}

#[tokio::test]
async fn a_runtime_of_one_thread_is_refused() {
    let Err(error) = scouting("a", "lab", free_discovery_port()).join().await else { panic!("zenoh would panic") };
    assert!(error.to_string().contains("several threads"), "{error}");
}
