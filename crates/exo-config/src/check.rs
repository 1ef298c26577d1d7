//! Values that are good by themselves and bad together.

use crate::{Config, Problem};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that contradicts itself, each with the keys and the remedy.
pub(crate) fn conflicts(config: &Config) -> Vec<Problem> {
    [port_clash, open_without_key, half_of_tls, leaves_loopback, peers, backoff, discovery_port, name]
        .iter()
        .filter_map(|check| check(config))
        .map(|message| Problem::Conflict { message })
        .collect()
}

/// The TCP ports of one node: two listeners on one port cannot both start.
fn port_clash(config: &Config) -> Option<String> {
    let networking = &config.networking;
    let ports = [
        ("api.port", config.api.port),
        ("networking.clusterPort", networking.cluster_port),
        ("networking.workerPort", networking.worker_port),
        ("networking.apiPort", networking.api_port),
    ];
    let (first, last) = networking.tensor_ports;
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for (key, port) in ports.into_iter().filter(|(_, port)| *port != 0) {
        if (first..=last).contains(&port) {
            return Some(format!(
                "`{key}` = {port} lies in `networking.tensorPorts` = [{first}, {last}]; move one of them"
            ));
        }
        if let Some(other) = taken.insert(port, key) {
            return Some(format!("`{other}` and `{key}` are both {port}; give one of them another port"));
        }
    }
    None
}

fn open_without_key(config: &Config) -> Option<String> {
    let bind = config.api.bind;
    let open = !bind.is_loopback() && config.api.key_file.is_none();
    open.then(|| {
        format!(
            "`api.bind` = \"{bind}\" lets other machines in, but `api.keyFile` is not set; \
             set `api.keyFile` to a file with one key a line, or `api.bind` to \"127.0.0.1\""
        )
    })
}

fn half_of_tls(config: &Config) -> Option<String> {
    let (set, missing) = match (&config.api.tls.certificate, &config.api.tls.key) {
        (Some(_), None) => ("api.tls.certificate", "api.tls.key"),
        (None, Some(_)) => ("api.tls.key", "api.tls.certificate"),
        _ => return None,
    };
    Some(format!("`{set}` is set, but `{missing}` is not; set both for HTTPS, or none of them for HTTP"))
}

fn leaves_loopback(config: &Config) -> Option<String> {
    let networking = &config.networking;
    if !networking.loopback_only {
        return None;
    }
    let outside = |address: &IpAddr| !address.is_loopback();
    if let Some(address) = networking.listen_addresses.iter().find(|address| outside(address)) {
        return Some(format!(
            "`networking.loopbackOnly` = true contradicts \"{address}\" in `networking.listenAddresses`; remove one of them"
        ));
    }
    let advertised = networking.advertise_address.filter(outside)?;
    Some(format!(
        "`networking.loopbackOnly` = true contradicts `networking.advertiseAddress` = \"{advertised}\"; remove one of them"
    ))
}

fn peers(config: &Config) -> Option<String> {
    let good = |peer: &&String| {
        let port =
            peer.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
        port.is_some_and(|port| port != 0)
    };
    let peer = config.networking.peers.iter().find(|peer| !good(peer))?;
    Some(format!("{peer:?} in `networking.peers` is not `host:port`; write for example \"10.0.0.7:52414\""))
}

fn backoff(config: &Config) -> Option<String> {
    let (first, max) = (config.runner.backoff_first, config.runner.backoff_max);
    (first > max).then(|| {
        format!("`runner.backoffFirst` = {first:?} is longer than `runner.backoffMax` = {max:?}; make it shorter")
    })
}

fn discovery_port(config: &Config) -> Option<String> {
    let networking = &config.networking;
    (networking.discovery_port == 0 && networking.multicast && !networking.loopback_only).then(|| {
        "`networking.discoveryPort` = 0 cannot be found by others; set a port, or `networking.multicast` = false"
            .to_owned()
    })
}

/// The namespace and the name travel in topics and tables.
fn name(config: &Config) -> Option<String> {
    let namespace = &config.networking.namespace;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if namespace.len() > 64 || !namespace.chars().all(allowed) {
        return Some(format!(
            "`networking.namespace` = {namespace:?} must be at most 64 ASCII letters, digits and - _ ."
        ));
    }
    let name = &config.name;
    (name.chars().count() > 64).then(|| format!("`name` = {name:?} is longer than 64 characters; shorten it"))
}
