//! What only the network between processes can do wrong.

use super::fixture::{Fixture, LONG, Zenoh, admitted, found, free_port, meet, within};
use exo_bus::{BusError, PresenceKind, RequestError, Scouting, Service, ZenohConfig};
use exo_identity::Identity;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const ROLE: PresenceKind<String> = PresenceKind::new("role");
const DOUBLE: Service<u32, u32> = Service::new("double");

/// A port on which nobody listens for hellos.
fn free_discovery_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    socket.local_addr().expect("bound").port()
}

fn scouting(identity: Identity, port: u16) -> ZenohConfig {
    ZenohConfig { port: 0, scouting: Scouting::Multicast { port }, loopback_only: true, ..ZenohConfig::new(identity) }
}

/// Finds nobody, and is found at that port.
fn alone(identity: Identity, port: u16) -> ZenohConfig {
    ZenohConfig { port, scouting: Scouting::Off, ..scouting(identity, 1) }
}

fn knows(config: ZenohConfig, port: u16) -> ZenohConfig {
    ZenohConfig { static_peers: vec![format!("127.0.0.1:{port}")], ..config }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_one_machine_find_each_other_by_multicast() {
    let port = free_discovery_port();
    let first = found("a");
    let join = |identity| scouting(identity, port).join();
    let a = join(first.clone()).await.expect("joins");
    let b = join(admitted(&first, "b")).await.expect("joins");
    let c = join(admitted(&first, "c")).await.expect("joins");
    meet(&a, &b).await;
    meet(&b, &c).await;
    meet(&c, &a).await;
}

/// A global IPv6 address of this machine on an interface that can multicast; loopback cannot, over IPv6.
fn global_ipv6() -> Option<Ipv6Addr> {
    let can = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST;
    let all = getifaddrs().ok()?.filter(|entry| entry.flags.contains(can));
    let addresses = all.filter_map(|entry| Some(entry.address?.as_sockaddr_in6()?.ip()));
    addresses.into_iter().find(|address| !address.is_loopback() && !address.is_unicast_link_local())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_find_each_other_where_only_ipv6_carries_hellos() {
    let Some(address) = global_ipv6() else {
        println!("skipped: no interface here has IPv6 and multicast");
        return;
    };
    for listen in [Ipv6Addr::UNSPECIFIED, address] {
        // Whoever holds the port alone keeps everybody from listening for hellos over IPv4.
        let silence = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
        let port = silence.local_addr().expect("bound").port();
        let first = found("a");
        let join = |identity| {
            let listen = vec![SocketAddr::from((listen, 0))];
            ZenohConfig { listen, loopback_only: false, ..scouting(identity, port) }.join()
        };
        let a = join(first.clone()).await.expect("joins");
        let b = join(admitted(&first, "b")).await.expect("joins");
        meet(&a, &b).await;
        println!("found over IPv6 alone, listening on {listen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_never_meet() {
    let (port, discovery) = (free_port(), free_discovery_port());
    let first = found("a");
    let config = |identity, port| ZenohConfig { port, ..scouting(identity, discovery) };
    let a = config(first.clone(), port).join().await.expect("joins");
    let stranger = knows(config(found("b"), 0), port).join().await.expect("joins");
    let mut watch = stranger.watch(ROLE).await.expect("watches");
    let _token = a.announce(ROLE, &"master".to_owned()).await.expect("announces");
    let _serves = a.serve(DOUBLE).await.expect("serves");
    // By now the stranger has tried, and the friend got in by the same door.
    let friend = knows(config(admitted(&first, "c"), 0), port).join().await.expect("joins");
    meet(&a, &friend).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), watch.recv()).await.is_err());
    let asked = stranger.request(DOUBLE, a.node(), &1, LONG).await;
    assert!(matches!(asked, Err(RequestError::Unreachable { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_that_is_found_is_told_with_what_to_do() {
    let discovery = free_discovery_port();
    let (first, second) = (found("a"), found("b"));
    let a = scouting(first.clone(), discovery).join().await.expect("joins");
    let b = scouting(second.clone(), discovery).join().await.expect("joins");
    for (bus, other) in [(&a, &second), (&b, &first)] {
        let report = within(bus.links_where(|links| !links.foreign.is_empty())).await;
        let told = report.foreign.first().expect("one was found");
        assert_eq!(told.cluster, other.cluster().short());
        assert!(told.remedy().contains("exo cluster join"), "{}", told.remedy());
    }
    assert!(a.links().neighbours.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named_with_the_remedy() {
    let port = free_port();
    let _first = alone(found("a"), port).join().await.expect("joins");
    let Err(error) = alone(found("b"), port).join().await else { panic!("the port is taken") };
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
        ..scouting(found("a"), 1)
    };
    let Err(error) = config.join().await else { panic!("cannot listen there") };
    assert!(matches!(&error, BusError::Listen { address, .. } if address == "192.0.2.77:52499"), "{error}");
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
    let Err(error) = scouting(found("a"), free_discovery_port()).join().await else { panic!("zenoh would panic") };
    assert!(error.to_string().contains("several threads"), "{error}");
}
