//! Where others reach this process.

use super::hello::ADDRESSES;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::net::{IpAddr, SocketAddr};

/// Best first: what was configured, addresses of the network, addresses of this machine alone.
pub(super) fn own_addresses(bound: &[SocketAddr], advertise: Option<IpAddr>, loopback_only: bool) -> Vec<SocketAddr> {
    let everywhere = || interfaces(loopback_only);
    let mut addresses = list(bound, advertise, everywhere);
    addresses.truncate(ADDRESSES);
    addresses
}

fn list(bound: &[SocketAddr], advertise: Option<IpAddr>, everywhere: impl Fn() -> Vec<IpAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for listener in bound {
        let here = if listener.ip().is_unspecified() { everywhere() } else { vec![listener.ip()] };
        let reached = advertise.into_iter().chain(here);
        // A listener on `::` takes IPv4 as well; one on `0.0.0.0` does not take IPv6.
        let fits = |address: &IpAddr| address.is_ipv4() || listener.is_ipv6() || Some(*address) == advertise;
        addresses.extend(reached.filter(fits).map(|address| SocketAddr::new(address, listener.port())));
    }
    let mut seen = Vec::new();
    addresses.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    addresses.sort_by_key(|address| (Some(address.ip()) != advertise, address.ip().is_loopback()));
    addresses
}

fn interfaces(loopback_only: bool) -> Vec<IpAddr> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let up = all.filter(|entry| entry.flags.contains(InterfaceFlags::IFF_UP));
    let addresses = up.filter_map(|entry| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    // An address that holds on one link only means nothing to others.
    let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    addresses.filter(|address| !is_link_local(address) && (address.is_loopback() || !loopback_only)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bound: &[&str], advertise: Option<&str>, interfaces: &[&str], expect: &[&str]) {
        let bound: Vec<SocketAddr> = bound.iter().map(|text| text.parse().expect("an address")).collect();
        let advertise = advertise.map(|text| text.parse().expect("an address"));
        let interfaces = || interfaces.iter().map(|text| text.parse().expect("an address")).collect();
        let found: Vec<String> = list(&bound, advertise, interfaces).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn the_best_address_comes_first() {
        let here = ["127.0.0.1", "::1", "10.0.0.7", "fd00::7"];
        check(&["[::]:7"], None, &here, &["10.0.0.7:7", "[fd00::7]:7", "127.0.0.1:7", "[::1]:7"]);
        check(&["0.0.0.0:7"], None, &here, &["10.0.0.7:7", "127.0.0.1:7"]);
        check(&["0.0.0.0:7"], Some("192.0.2.1"), &here, &["192.0.2.1:7", "10.0.0.7:7", "127.0.0.1:7"]);
        check(&["127.0.0.1:7", "[::1]:7"], None, &here, &["127.0.0.1:7", "[::1]:7"]);
    }
}
