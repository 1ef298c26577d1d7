//! From the configuration to the bus.

use exo_bus::{Scouting, ZenohConfig};
use exo_config::Networking;
use exo_node::Role;
use exo_types::NodeId;
use std::net::SocketAddr;

/// The port of a process's own bus listener.
pub(crate) fn port(networking: &Networking, role: Role) -> u16 {
    match role {
        Role::Master | Role::All => networking.cluster_port,
        Role::Worker => networking.worker_port,
        Role::Api => networking.api_port,
    }
}

/// How a process joins the bus.
pub(crate) fn settings(networking: &Networking, role: Role, node: NodeId) -> ZenohConfig {
    let port = port(networking, role);
    let mut peers = networking.peers.clone();
    // The processes of one node find each other without multicast, which a container or a firewall may not let through.
    if matches!(role, Role::Worker | Role::Api) && networking.cluster_port != 0 {
        let ours = networking.listen_addresses.first().map_or("127.0.0.1".to_owned(), |address| match address {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]"),
        });
        peers.push(format!("{ours}:{}", networking.cluster_port));
    }
    let scouting = match networking.multicast {
        true => Scouting::Multicast { port: networking.discovery_port },
        false => Scouting::Off,
    };
    ZenohConfig {
        namespace: networking.namespace.clone(),
        listen: networking.listen_addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
        port,
        scouting,
        static_peers: peers,
        loopback_only: networking.loopback_only,
        advertise: networking.advertise_address,
        ..ZenohConfig::new(node)
    }
}
