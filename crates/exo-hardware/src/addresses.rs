//! Addresses at which other machines may reach this one.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::net::{IpAddr, Ipv4Addr};

/// One address of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Whether it is up.
    pub is_up: bool,
}

/// Asks the system for the addresses that peers can use, best first; only the loopback's when told so.
pub fn addresses(loopback_only: bool) -> Vec<IpAddr> {
    if loopback_only {
        return vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    }
    rank(&interfaces())
}

/// Asks the system for all addresses of all interfaces.
pub fn interfaces() -> Vec<Interface> {
    let Ok(found) = getifaddrs() else { return Vec::new() };
    let interfaces = found.filter_map(|interface| {
        let storage = interface.address?;
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let address = v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))?;
        let is_up = interface.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
        Some(Interface { name: interface.interface_name, address, is_up })
    });
    interfaces.collect()
}

/// Orders addresses by how likely a peer can use them, each once. Left out: what is down, loopback, multicast, and
/// link-local IPv6, which means nothing without the other machine's own interface.
pub fn rank(interfaces: &[Interface]) -> Vec<IpAddr> {
    let usable = interfaces.iter().filter(|interface| interface.is_up && is_usable(interface.address));
    let mut ranked: Vec<_> = usable.map(|interface| (penalty(interface), interface.address)).collect();
    ranked.sort();
    ranked.dedup_by_key(|(_, address)| *address);
    ranked.into_iter().map(|(_, address)| address).collect()
}

pub(crate) fn is_usable(address: IpAddr) -> bool {
    let is_link_local_v6 = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local_v6)
}

/// Interfaces that exist on every machine alike and lead nowhere.
const VIRTUAL: [&str; 8] = ["docker", "br-", "veth", "virbr", "cni", "flannel", "lxc", "podman"];

/// By its name: bridges and ends of containers, which come and go.
pub(crate) fn leads_nowhere(name: &str) -> bool {
    VIRTUAL.iter().any(|prefix| name.starts_with(prefix))
}

/// The smaller the better: private addresses of real interfaces first, then other ones, virtual bridges, and
/// self-assigned addresses last.
fn penalty(interface: &Interface) -> u8 {
    let is_virtual = leads_nowhere(&interface.name);
    let of_address = match interface.address {
        IpAddr::V4(v4) if v4.is_link_local() => 8,
        IpAddr::V4(v4) if v4.is_private() => 0,
        IpAddr::V6(v6) if v6.is_unique_local() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 3,
    };
    if is_virtual { of_address + 4 } else { of_address }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str, is_up: bool) -> Interface {
        Interface { name: name.to_owned(), address: address.parse().expect("an address"), is_up }
    }

    #[test]
    fn what_a_peer_can_use_comes_first_and_what_it_cannot_never() {
        let found = [
            interface("lo", "127.0.0.1", true),
            interface("lo", "::1", true),
            interface("eth1", "169.254.3.4", true),
            interface("docker0", "172.17.0.1", true),
            interface("eth0", "2001:db8::7", true),
            interface("eth0", "fe80::7", true),
            interface("eth0", "fd00::7", true),
            interface("eth0", "10.0.0.7", true),
            interface("wlan0", "192.168.1.7", false),
            interface("eth0", "203.0.113.9", true),
            interface("eth0:1", "10.0.0.7", true),
        ];
        let ranked: Vec<_> = rank(&found).iter().map(ToString::to_string).collect();
        assert_eq!(ranked, ["10.0.0.7", "fd00::7", "203.0.113.9", "2001:db8::7", "172.17.0.1", "169.254.3.4"]);
    }

    #[test]
    fn loopback_only_is_the_loopback_only() {
        assert_eq!(addresses(true), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        assert!(addresses(false).iter().all(|address| !address.is_loopback()));
    }
}
