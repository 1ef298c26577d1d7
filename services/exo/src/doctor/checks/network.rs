//! Ports, addresses, peers.

use crate::doctor::facts::{Facts, PortState};
use crate::doctor::finding::Finding;
use exo_config::Mode;
use std::net::IpAddr;

pub(super) fn ports(facts: &Facts, findings: &mut Vec<Finding>) {
    for port in &facts.ports {
        let (key, address) = (port.key, port.address);
        findings.extend(match &port.state {
            PortState::Free | PortState::HeldByExo => None,
            PortState::Taken => Some(Finding::error(
                "ports",
                format!("port {} ({key}) is used by another program", address.port()),
                format!("`ss -ltnp 'sport = :{}'` tells which; stop it, or set {key}", address.port()),
            )),
            PortState::Refused(reason) => Some(Finding::error(
                "ports",
                format!("{address} ({key}) cannot be listened on: {reason}"),
                format!("set {key} to a port above 1023, or give the service the right to use it"),
            )),
        });
    }
}

pub(super) fn addresses(facts: &Facts, findings: &mut Vec<Finding>) {
    let networking = &facts.config.networking;
    let is_here =
        |address: &IpAddr| address.is_unspecified() || address.is_loopback() || facts.addresses.contains(address);
    let listened = networking.listen_addresses.iter().map(|address| ("networking.listenAddresses", *address));
    let all = listened.chain([("api.bind", facts.config.api.bind)]);
    for (key, address) in all.filter(|(_, address)| !is_here(address)) {
        findings.push(Finding::error(
            "addresses",
            format!("no interface has the address {address} ({key})"),
            format!("`ip address` shows those that there are; set {key} to one, or bring its interface up"),
        ));
    }
    // Behind a router the address that others use is not the machine's own.
    if let Some(address) = networking.advertise_address.filter(|address| !is_here(address)) {
        findings.push(Finding::warning(
            "advertise",
            format!("no interface has the address {address} (networking.advertiseAddress)"),
            "this is right only if a router leads it here; otherwise other nodes do not reach this one",
        ));
    }
}

pub(super) fn peers(facts: &Facts, findings: &mut Vec<Finding>) {
    let silent = facts.peers.iter().filter_map(|(peer, answer)| Some((peer, answer.as_ref().err()?)));
    let silent: Vec<_> = silent.collect();
    // A worker that reaches nobody does nothing; anybody else is a cluster of its own.
    let is_alone =
        facts.config.mode == Mode::Worker && !facts.config.networking.multicast && silent.len() == facts.peers.len();
    for (peer, reason) in silent {
        let message = format!("peer {peer} (networking.peers) does not answer: {reason}");
        let remedy = "start exo there, open its port in the firewall, or take it from networking.peers";
        findings.push(match is_alone {
            true => Finding::error("peers", message, remedy),
            false => Finding::warning("peers", message, remedy),
        });
    }
}
