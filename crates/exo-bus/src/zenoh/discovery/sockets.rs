//! A voice on every interface, and an ear in each address family.

use super::super::config::ZenohConfig;
use super::packet::LENGTH;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// In the block that a site may use as it likes (RFC 2365).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 101, 120);
/// On this link only, not assigned by anybody (RFC 4291).
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x6578, 0x6f00);
/// Packets that wait to be read; what comes beyond that is lost, as UDP may lose it.
const WAITING: usize = 64;

type Heard = (Vec<u8>, SocketAddr);

/// An interface in one address family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Interface {
    name: String,
    index: u32,
    address: IpAddr,
    is_loopback: bool,
}

/// Calls on one interface, and hears what is answered there.
pub(super) struct Voice {
    interface: Interface,
    socket: Arc<UdpSocket>,
    group: SocketAddr,
    ear: AbortHandle,
}

impl Voice {
    pub fn address(&self) -> IpAddr {
        self.interface.address
    }

    pub fn is_loopback(&self) -> bool {
        self.interface.is_loopback
    }

    pub async fn call(&self, bytes: &[u8]) {
        if let Err(error) = self.socket.send_to(bytes, self.group).await {
            tracing::debug!(interface = self.interface.name, group = %self.group, %error, "cannot say hello");
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.ear.abort();
    }
}

pub(super) struct Sockets {
    port: u16,
    loopback_only: bool,
    names: Vec<String>,
    /// Where this process is called.
    listens: Vec<IpAddr>,
    ears: Vec<Arc<UdpSocket>>,
    voices: BTreeMap<Interface, Voice>,
    readers: JoinSet<()>,
    heard: mpsc::Receiver<Heard>,
    hear: mpsc::Sender<Heard>,
    warned: bool,
}

impl Sockets {
    pub fn new(settings: &ZenohConfig, port: u16) -> Self {
        let (hear, heard) = mpsc::channel(WAITING);
        let mut sockets = Self {
            port,
            loopback_only: settings.loopback_only,
            names: settings.interfaces.clone(),
            listens: settings.listen.iter().map(SocketAddr::ip).collect(),
            ears: Vec::new(),
            voices: BTreeMap::new(),
            readers: JoinSet::new(),
            heard,
            hear,
            warned: false,
        };
        for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            match ear(SocketAddr::new(any, port)) {
                Ok(socket) => {
                    let socket = Arc::new(socket);
                    sockets.read(socket.clone());
                    sockets.ears.push(socket);
                }
                // Without IPv6, or with the port taken by a program that does not share it.
                Err(error) => tracing::debug!(%any, port, %error, "cannot listen for hellos"),
            }
        }
        sockets
    }

    pub fn voices(&self) -> impl Iterator<Item = &Voice> {
        self.voices.values()
    }

    /// The next packet; none never comes, because this holds a sender itself.
    pub async fn recv(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// Answers from the port that everybody listens on.
    pub async fn answer(&self, bytes: &[u8], to: SocketAddr) {
        let ear = self.ears.iter().find(|ear| ear.local_addr().is_ok_and(|local| local.is_ipv4() == to.is_ipv4()));
        if let Some(ear) = ear
            && let Err(error) = ear.send_to(bytes, to).await
        {
            tracing::debug!(%to, %error, "cannot answer a hello");
        }
    }

    /// Takes up interfaces that came and lets go of those that went.
    pub fn rescan(&mut self) {
        let now = self.interfaces();
        self.voices.retain(|interface, _| now.contains(interface));
        while self.readers.try_join_next().is_some() {}
        for interface in now {
            if !self.voices.contains_key(&interface) {
                match self.take_up(&interface) {
                    Ok(voice) => drop(self.voices.insert(interface, voice)),
                    Err(error) => tracing::debug!(?interface, %error, "cannot scout here"),
                }
            }
        }
        let deaf = self.ears.is_empty() || self.voices.is_empty();
        if deaf && !self.warned {
            tracing::warn!(
                port = self.port,
                "multicast is not available: only `networking.peers` are looked for (is the port of \
                 `networking.discoveryPort` taken, or is there no interface?)"
            );
        }
        self.warned = deaf;
    }

    fn interfaces(&self) -> BTreeSet<Interface> {
        let all = getifaddrs().map(|all| all.filter_map(|entry| interface(&entry)).collect::<BTreeSet<_>>());
        let mut wanted: Vec<Interface> = all
            .unwrap_or_default()
            .into_iter()
            .filter(|interface| interface.is_loopback || !self.loopback_only)
            .filter(|interface| self.names.is_empty() || interface.is_loopback || self.names.contains(&interface.name))
            .collect();
        // Of several addresses of IPv6 the one that this process is called at stands for the interface.
        wanted.sort_by_key(|interface| !self.listens.contains(&interface.address));
        let mut one_ipv6_each = BTreeSet::new();
        wanted.retain(|interface| interface.address.is_ipv4() || one_ipv6_each.insert(interface.index));
        wanted.into_iter().collect()
    }

    /// Our address on the interface over which that one was heard.
    pub fn address_towards(&self, to: SocketAddr) -> Option<IpAddr> {
        let on_link = match to {
            SocketAddr::V6(to) if to.ip().is_unicast_link_local() => Some(to.scope_id()),
            _ => None,
        };
        let is_there = |voice: &&Voice| voice.address().is_ipv6() && Some(voice.interface.index) == on_link;
        self.voices().find(is_there).map(Voice::address).or_else(|| source_towards(to))
    }

    fn take_up(&mut self, interface: &Interface) -> io::Result<Voice> {
        let (group, any) = match interface.address {
            IpAddr::V4(_) => (IpAddr::from(GROUP_V4), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            IpAddr::V6(_) => (IpAddr::from(GROUP_V6), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let socket = udp(any)?;
        match interface.address {
            IpAddr::V4(address) => socket.set_multicast_if_v4(&address)?,
            IpAddr::V6(_) => socket.set_multicast_if_v6(interface.index)?,
        }
        socket.bind(&any.into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        self.listen_on(interface)?;
        let ear = self.read(socket.clone());
        Ok(Voice { interface: interface.clone(), socket, group: SocketAddr::new(group, self.port), ear })
    }

    /// Joins the group there; joining twice is no error.
    fn listen_on(&self, interface: &Interface) -> io::Result<()> {
        for ear in &self.ears {
            let joined = match (interface.address, ear.local_addr()?) {
                (IpAddr::V4(address), SocketAddr::V4(_)) => ear.join_multicast_v4(GROUP_V4, address),
                (IpAddr::V6(_), SocketAddr::V6(_)) => ear.join_multicast_v6(&GROUP_V6, interface.index),
                _ => Ok(()),
            };
            joined.or_else(|error| if error.kind() == io::ErrorKind::AddrInUse { Ok(()) } else { Err(error) })?;
        }
        Ok(())
    }

    fn read(&mut self, socket: Arc<UdpSocket>) -> AbortHandle {
        let hear = self.hear.clone();
        self.readers.spawn(async move {
            // One byte more than a packet has, so that a longer one is seen to be longer.
            let mut buffer = [0; LENGTH + 1];
            loop {
                match socket.recv_from(&mut buffer).await {
                    Ok((length, from)) => drop(hear.try_send((buffer[..length].to_vec(), from))),
                    // An ICMP answer to an earlier packet; the socket goes on.
                    Err(error) => tracing::trace!(%error, "a hello was not received"),
                }
            }
        })
    }
}

fn interface(entry: &nix::ifaddrs::InterfaceAddress) -> Option<Interface> {
    let is_loopback = entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
    // Loopback can multicast without saying so.
    let can = is_loopback || entry.flags.contains(InterfaceFlags::IFF_MULTICAST);
    let up = entry.flags.contains(InterfaceFlags::IFF_UP);
    let address = entry.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
    let index = if_nametoindex(entry.interface_name.as_str()).ok()?;
    let address = v4.or(v6).filter(|_| can && up)?;
    Some(Interface { name: entry.interface_name.clone(), index, address, is_loopback })
}

fn udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Shares the port with all other exo processes of this machine: a multicast packet reaches them all.
fn ear(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = udp(address)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// The address that this machine uses towards another.
fn source_towards(to: SocketAddr) -> Option<IpAddr> {
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    // Connecting a UDP socket sends nothing.
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}
