//! From the configuration to the bus.

use crate::paths::Place;
use exo_bus::{Scouting, ZenohConfig};
use exo_config::{Config, Networking};
use exo_identity::Identity;
use exo_node::Role;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of a process's own bus listener.
pub(crate) fn port(networking: &Networking, role: Role) -> u16 {
    match role {
        Role::Master | Role::All => networking.cluster_port,
        Role::Worker => networking.worker_port,
        Role::Api => networking.api_port,
    }
}

/// The key that sets that port, for messages.
fn port_key(role: Role) -> &'static str {
    match role {
        Role::Master | Role::All => "networking.clusterPort",
        Role::Worker => "networking.workerPort",
        Role::Api => "networking.apiPort",
    }
}

/// Ports of the other processes of this node that `role` dials. Each pair has one side that dials, so that the processes
/// of one node find each other without multicast, which a container or a firewall may not let through.
fn siblings(networking: &Networking, role: Role) -> Vec<u16> {
    let ports = match role {
        Role::Master | Role::All => vec![],
        Role::Worker => vec![networking.cluster_port],
        Role::Api => vec![networking.cluster_port, networking.worker_port],
    };
    ports.into_iter().filter(|port| *port != 0).collect()
}

/// Whether a static peer is the process itself: a list that all machines share names each of them too.
fn is_self(networking: &Networking, own_port: u16, peer: &str) -> bool {
    let Ok(address) = peer.parse::<SocketAddr>() else { return false };
    address.port() == own_port && (address.ip().is_loopback() || networking.listen_addresses.contains(&address.ip()))
}

/// How a process joins the bus.
pub(crate) fn settings(config: &Config, role: Role, identity: Identity) -> ZenohConfig {
    let networking = &config.networking;
    let port = port(networking, role);
    let host = networking.listen_addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut peers = networking.peers.clone();
    peers.extend(siblings(networking, role).into_iter().map(|port| SocketAddr::new(host, port).to_string()));
    peers.retain(|peer| !is_self(networking, port, peer));
    peers.sort();
    peers.dedup();
    let scouting = match networking.multicast {
        true => Scouting::Multicast { port: networking.discovery_port },
        false => Scouting::Off,
    };
    ZenohConfig {
        listen: networking.listen_addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
        port,
        port_key: port_key(role),
        scouting,
        static_peers: peers,
        loopback_only: networking.loopback_only,
        advertise: networking.advertise_address,
        admits: role.roles().master,
        runtime_dirs: Place::here().runtime_dirs(&config.data_dir),
        ..ZenohConfig::new(identity)
    }
}

/// How the command line joins for a moment: through the processes of this node, or its peers.
pub(crate) fn visitor(config: &Config, identity: Identity) -> ZenohConfig {
    let networking = &config.networking;
    let joined = settings(config, Role::Api, identity);
    let host = networking.listen_addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut static_peers = joined.static_peers;
    if networking.api_port != 0 {
        static_peers.push(SocketAddr::new(host, networking.api_port).to_string());
    }
    let listen = joined.listen.iter().map(|address| SocketAddr::new(address.ip(), 0)).collect();
    ZenohConfig { static_peers, listen, port: 0, scouting: Scouting::Off, ..joined }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_config::{Sources, Surroundings, load};

    fn peers(role: Role, configured: &[&str]) -> Vec<String> {
        let surroundings = Surroundings { host_name: "atlas".to_owned(), data_dir: "/var/lib/exo".to_owned() };
        let sources = Sources { surroundings, file: None, environment: Vec::new(), flags: Vec::new() };
        let mut config = load(&sources).expect("the defaults are good").config;
        config.networking.peers = configured.iter().map(ToString::to_string).collect();
        let node = exo_types::NodeId::new("n").expect("an id");
        let identity = Identity::found(node, "exo", std::time::SystemTime::now()).expect("founds");
        settings(&config, role, identity).static_peers
    }

    #[test]
    fn the_processes_of_a_node_dial_each_other_once_and_never_themselves() {
        let check = |role, expected: &[&str]| assert_eq!(peers(role, &["127.0.0.1:52414"]), expected, "{role}");
        check(Role::Master, &[]);
        check(Role::All, &[]);
        check(Role::Worker, &["127.0.0.1:52414"]);
        check(Role::Api, &["127.0.0.1:52414", "127.0.0.1:52417"]);
    }

    #[test]
    fn a_peer_elsewhere_is_kept_by_name_and_by_address() {
        assert_eq!(peers(Role::All, &["10.0.0.2:52414", "attic:52414"]), ["10.0.0.2:52414", "attic:52414"]);
    }
}
