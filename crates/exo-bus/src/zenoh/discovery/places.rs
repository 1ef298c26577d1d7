//! Where this process can be reached, as seen from each of its interfaces.

use super::super::config::ZenohConfig;
use std::net::{IpAddr, SocketAddr};

/// What to tell on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub port: u16,
    /// None: the address that the packet comes from.
    pub advertised: Option<IpAddr>,
}

pub(super) struct Places {
    bound: Vec<SocketAddr>,
    everywhere: bool,
    advertise: Option<IpAddr>,
}

impl Places {
    pub fn new(settings: &ZenohConfig, bound: Vec<SocketAddr>) -> Self {
        let everywhere = settings.listen.iter().any(|address| address.ip().is_unspecified());
        Self { bound, everywhere, advertise: settings.advertise }
    }

    /// None if nobody who hears us there can reach us.
    pub fn seen_on(&self, interface: IpAddr, is_loopback: bool) -> Option<Place> {
        let advertised = self.advertise.filter(|_| !is_loopback);
        let listens_there = self.bound.iter().find(|address| address.ip() == interface);
        let any = self.bound.first()?;
        if let Some(address) = listens_there {
            let advertised = advertised.or_else(|| named(address.ip()));
            return Some(Place { port: address.port(), advertised });
        }
        if self.everywhere || advertised.is_some() {
            return Some(Place { port: any.port(), advertised });
        }
        // A neighbour on this machine reaches all its addresses.
        is_loopback.then(|| Place { port: any.port(), advertised: Some(any.ip()) })
    }
}

/// Hellos over IPv6 come from the interface's own address on the link: who listens on another has to name it.
fn named(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(address) if !address.is_loopback() && !address.is_unicast_link_local() => Some(address.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(listen: &[&str], bound: &[&str], advertise: Option<&str>) -> Places {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<_>>();
        let node = exo_types::NodeId::new("a").expect("a good id");
        let identity = exo_identity::Identity::found(node, "lab", std::time::SystemTime::now()).expect("founds");
        let advertise = advertise.map(|text| text.parse().expect("an address"));
        let settings = ZenohConfig { listen: parse(listen), advertise, ..ZenohConfig::new(identity) };
        Places::new(&settings, parse(bound))
    }

    fn check(places: &Places, interface: &str, expect: Option<(u16, Option<&str>)>) {
        let interface: IpAddr = interface.parse().expect("an address");
        let expect = expect.map(|(port, advertised)| Place {
            port,
            advertised: advertised.map(|text| text.parse().expect("an address")),
        });
        assert_eq!(places.seen_on(interface, interface.is_loopback()), expect, "{interface}");
    }

    #[test]
    fn who_listens_everywhere_is_seen_everywhere() {
        let everywhere = places(&["[::]:7"], &["10.0.0.1:7", "[fd00::1]:7"], None);
        for interface in ["10.0.0.1", "10.9.9.9", "fe80::1", "127.0.0.1"] {
            check(&everywhere, interface, Some((7, None)));
        }
    }

    #[test]
    fn who_listens_on_one_address_is_seen_there_and_by_neighbours() {
        let one = places(&["10.0.0.1:7"], &["10.0.0.1:7"], None);
        check(&one, "10.0.0.1", Some((7, None)));
        check(&one, "10.9.9.9", None);
        check(&one, "127.0.0.1", Some((7, Some("10.0.0.1"))));
    }

    #[test]
    fn who_listens_on_one_address_of_ipv6_names_it_for_hellos_come_from_another() {
        let one = places(&["[fd00::1]:7", "[fe80::1]:8"], &["[fd00::1]:7", "[fe80::1]:8"], None);
        check(&one, "fd00::1", Some((7, Some("fd00::1"))));
        check(&one, "fe80::1", Some((8, None)));
        check(&one, "fd00::2", None);
    }

    #[test]
    fn an_advertised_address_is_told_to_all_but_neighbours() {
        let behind = places(&["0.0.0.0:7"], &["10.0.0.1:7"], Some("192.0.2.1"));
        check(&behind, "10.0.0.1", Some((7, Some("192.0.2.1"))));
        check(&behind, "127.0.0.1", Some((7, None)));
    }
}
