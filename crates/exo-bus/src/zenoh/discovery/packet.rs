//! What nodes call out to find each other.
//!
//! ```text
//! 0      4        5     6              22          38        54        56               72
//! "EXOD" version  kind  namespace[16]  cluster[16] process[16] port u16  advertised IPv6  end
//! ```
//! The port is little-endian; an advertised IPv4 address is mapped into IPv6, none is all zeros: then the address is the
//! one that the packet came from.

use std::net::{IpAddr, Ipv6Addr};

/// Bytes of a packet.
pub(super) const LENGTH: usize = 72;
const MAGIC: [u8; 4] = *b"EXOD";
const VERSION: u8 = 2;

/// First half of a hash of the namespace.
pub(super) type NamespaceTag = [u8; 16];

/// First half of the fingerprint of the cluster's authority.
pub(super) type ClusterTag = [u8; 16];

/// Says which namespace is meant without saying its name.
pub(super) fn namespace_tag(namespace: &str) -> NamespaceTag {
    let hash = blake3::derive_key("exo bus 1: namespace in discovery", namespace.as_bytes());
    std::array::from_fn(|at| hash[at])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To all: I am here, who else?
    Hello,
    /// To one: I am here too.
    Answer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub kind: Kind,
    pub namespace: NamespaceTag,
    pub cluster: ClusterTag,
    pub process: [u8; 16],
    pub port: u16,
    pub advertised: Option<IpAddr>,
}

impl Packet {
    pub fn write(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = match self.kind {
            Kind::Hello => 1,
            Kind::Answer => 2,
        };
        bytes[6..22].copy_from_slice(&self.namespace);
        bytes[22..38].copy_from_slice(&self.cluster);
        bytes[38..54].copy_from_slice(&self.process);
        bytes[54..56].copy_from_slice(&self.port.to_le_bytes());
        if let Some(address) = self.advertised {
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            bytes[56..].copy_from_slice(&address.octets());
        }
        bytes
    }

    /// None for anything that is not ours: other programs may use the port, other versions may come.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let port = u16::from_le_bytes([bytes[54], bytes[55]]);
        if bytes[..4] != MAGIC || bytes[4] != VERSION || port == 0 {
            return None;
        }
        let kind = match bytes[5] {
            1 => Kind::Hello,
            2 => Kind::Answer,
            _ => return None,
        };
        let sixteen = |from: usize| std::array::from_fn(|at| bytes[from + at]);
        let address = Ipv6Addr::from(sixteen(56));
        let advertised = (!address.is_unspecified()).then(|| IpAddr::V6(address).to_canonical());
        let (namespace, cluster, process) = (sixteen(6), sixteen(22), sixteen(38));
        Some(Self { kind, namespace, cluster, process, port, advertised })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(advertised: Option<IpAddr>) -> Packet {
        let namespace = namespace_tag("lab");
        Packet { kind: Kind::Answer, namespace, cluster: [8; 16], process: [7; 16], port: 52414, advertised }
    }

    #[test]
    fn a_packet_comes_back_as_it_was() {
        for advertised in [None, Some(IpAddr::from([10, 0, 0, 7])), "fd00::7".parse().ok()] {
            assert_eq!(Packet::read(&packet(advertised).write()), Some(packet(advertised)));
        }
    }

    #[test]
    fn anything_else_is_no_packet() {
        let good = packet(None).write();
        for (at, wrong) in [(0, b'x'), (4, 1), (5, 9)] {
            let mut bytes = good;
            bytes[at] = wrong;
            assert_eq!(Packet::read(&bytes), None, "byte {at}");
        }
        assert_eq!(Packet::read(&good[..LENGTH - 1]), None);
        assert_eq!(Packet::read(&[good.as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn namespaces_have_different_tags() {
        assert_ne!(namespace_tag("a"), namespace_tag("b"));
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), LENGTH)) {
            let _ = Packet::read(&bytes);
        }
    }
}
