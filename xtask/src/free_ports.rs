//! Ports of loopback on which nobody listens.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, TcpListener};

/// So many different ones. Each is held until all are found, for one that is let go may be given again.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .context("no free port")?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// One.
pub fn free_port() -> Result<u16> {
    free_ports(1)?.pop().context("no free port")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_given_twice() {
        let ports = free_ports(500).expect("there are many");
        let different: BTreeSet<_> = ports.iter().collect();
        assert_eq!(different.len(), 500);
    }
}
