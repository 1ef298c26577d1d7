//! Takes the ports on which others call.

use super::config::ZenohConfig;
use crate::error::BusError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Callers that the system keeps for us.
const BACKLOG: i32 = 256;

/// Listens on every address, or says on which it cannot and what to do.
pub(super) fn listen(settings: &ZenohConfig) -> Result<Vec<TcpListener>, BusError> {
    let listen = |address: &SocketAddr| bind(*address).map_err(|error| explain(settings, *address, &error));
    settings.listen.iter().map(listen).collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // The connections of a predecessor linger; they keep nobody from listening.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn explain(settings: &ZenohConfig, address: SocketAddr, error: &io::Error) -> BusError {
    match error.kind() {
        io::ErrorKind::AddrInUse => BusError::PortInUse { port: address.port(), key: settings.port_key },
        _ => BusError::Listen { address: address.to_string(), reason: error.to_string() },
    }
}
