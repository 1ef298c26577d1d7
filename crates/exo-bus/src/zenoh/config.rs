//! What a user can set, checked.

use crate::error::BusError;
use exo_identity::Identity;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Port on which others reach this process, unless configured.
const CLUSTER_PORT: u16 = 52414;
/// Port on which nodes find each other, unless configured.
const DISCOVERY_PORT: u16 = 52416;

/// How others are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scouting {
    /// By multicast on this UDP port, over IPv4 and IPv6, on every interface that is up.
    Multicast {
        /// `networking.discoveryPort`.
        port: u16,
    },
    /// Only static peers, and whom they know.
    Off,
}

/// How a process joins.
#[derive(Debug, Clone)]
pub struct ZenohConfig {
    /// Who we are, of which cluster, in which namespace: only processes that agree on both ever exchange a message.
    pub identity: Identity,
    /// Addresses to listen on; all of this machine, IPv4 and IPv6, if empty. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Port if `listen` is empty; 0 takes a free one.
    pub port: u16,
    /// The port's key in the configuration, for the error that it is taken.
    pub port_key: &'static str,
    /// How others are found.
    pub scouting: Scouting,
    /// `host:port` of processes to connect to, again and again until they are there.
    pub static_peers: Vec<String>,
    /// Never leave this machine.
    pub loopback_only: bool,
    /// Names of interfaces to scout on; all if empty.
    pub interfaces: Vec<String>,
    /// Address that others are told to use instead of the one that they see.
    pub advertise: Option<IpAddr>,
    /// Whether this process lets nodes into the cluster: it has a master.
    pub admits: bool,
    /// Where its local sockets may be, best first; the first that can be used is, and the system's directory for
    /// temporary files if none can.
    pub runtime_dirs: Vec<PathBuf>,
}

impl ZenohConfig {
    /// The defaults: all interfaces, multicast, ports 52414 and 52416.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            listen: Vec::new(),
            port: CLUSTER_PORT,
            port_key: "networking.clusterPort",
            scouting: Scouting::Multicast { port: DISCOVERY_PORT },
            static_peers: Vec::new(),
            loopback_only: false,
            interfaces: Vec::new(),
            advertise: None,
            admits: false,
            runtime_dirs: Vec::new(),
        }
    }

    /// Checks everything and settles the addresses.
    pub(super) fn check(mut self) -> Result<Self, BusError> {
        self.static_peers.iter().try_for_each(|peer| check_peer(peer))?;
        if self.listen.is_empty() {
            self.listen = self.default_addresses();
        }
        match self.listen.iter().find(|address| self.loopback_only && !address.ip().is_loopback()) {
            Some(outside) => Err(refused("networking.listenAddresses", &outside.ip().to_string(), LOOPBACK_ONLY)),
            None => Ok(self),
        }
    }

    fn default_addresses(&self) -> Vec<SocketAddr> {
        let has_ipv6 = has_ipv6();
        let address = |ip: IpAddr| SocketAddr::new(ip, self.port);
        match (self.loopback_only, has_ipv6) {
            // Port 0 twice would be two ports.
            (true, true) if self.port != 0 => {
                vec![address(Ipv4Addr::LOCALHOST.into()), address(Ipv6Addr::LOCALHOST.into())]
            }
            (true, _) => vec![address(Ipv4Addr::LOCALHOST.into())],
            // Takes IPv4 as well.
            (false, true) => vec![address(Ipv6Addr::UNSPECIFIED.into())],
            (false, false) => vec![address(Ipv4Addr::UNSPECIFIED.into())],
        }
    }
}

const LOOPBACK_ONLY: &str = "`networking.loopbackOnly` = true allows 127.0.0.1 and ::1 only";

fn check_peer(peer: &str) -> Result<(), BusError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '[' | ']' | '%');
    let port = peer.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(1..)) if peer.chars().all(allowed) => Ok(()),
        _ => Err(refused(
            "networking.peers",
            peer,
            "write host:port, for example \"10.0.0.7:52414\" or \"[fd00::7]:52414\"",
        )),
    }
}

fn refused(key: &'static str, value: &str, reason: &str) -> BusError {
    BusError::Config { key, value: value.to_owned(), reason: reason.to_owned() }
}

/// Whether this machine can listen on IPv6 at all.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ZenohConfig {
        let node = exo_types::NodeId::new("a").expect("a good id");
        ZenohConfig::new(Identity::found(node, "lab", std::time::SystemTime::now()).expect("founds"))
    }

    #[test]
    fn a_peer_is_a_host_and_a_port() {
        for (peer, good) in [
            ("10.0.0.7:52414", true),
            ("[fd00::7]:52414", true),
            ("[fe80::1%2]:52414", true),
            ("node-1.lan:1", true),
            ("node-1.lan", false),
            (":52414", false),
            ("a:0", false),
            ("a:70000", false),
            ("a#iface=lo:1", false),
            ("tcp/a?b:1", false),
        ] {
            assert_eq!(check_peer(peer).is_ok(), good, "{peer}");
        }
    }

    #[test]
    fn loopback_only_listens_nowhere_else() {
        let settled = ZenohConfig { loopback_only: true, ..config() }.check().expect("the defaults are good");
        assert!(settled.listen.iter().all(|address| address.ip().is_loopback()));
        let contradiction =
            ZenohConfig { loopback_only: true, listen: vec![([0, 0, 0, 0], 1).into()], ..config() }.check();
        assert!(matches!(contradiction, Err(BusError::Config { key: "networking.listenAddresses", .. })));
    }
}
