//! Where a cluster runs: networks that can be cut, or loopback.

use crate::cluster::machine::Machine;
use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// What one node sends to another, by their numbers. A cut direction loses everything silently, as a firewall does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Direction {
    /// Who sends.
    pub from: usize,
    /// Who does not hear it.
    pub to: usize,
}

/// Bytes, with all headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// To other machines.
    pub outside: u64,
    /// Between processes of the machine.
    pub inside: u64,
}

/// Machines and what connects them.
pub struct Site {
    machines: Vec<Machine>,
    has_networks: bool,
    cut: BTreeSet<Direction>,
}

/// What drops the packets. IPv6 is off, so that nothing finds a way around.
const FIREWALL: &str = "table inet cut {
  set from { type ipv4_addr; }
  counter lost { }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname != \"lo\" meta nfproto ipv6 drop;
    ip saddr @from counter name lost drop;
  }
}
";

impl Site {
    /// Machines on loopback: they can be killed, not cut off.
    pub fn loopback(count: usize) -> Result<Self> {
        let machines = (0..count).map(|number| Machine::start(&name(number), false)).collect::<Result<_>>()?;
        Ok(Self { machines, has_networks: false, cut: BTreeSet::new() })
    }

    /// Machines with a network namespace each, on a bridge that this program is on too: it moves into a namespace of its
    /// own, and with it every thread that it starts from now on. The kernel takes all of it away with the last process.
    pub fn namespaces(count: usize) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("no network namespace for the bridge")?;
        ip("link set lo up")?;
        ip("link add bridge type bridge")?;
        ip("link set bridge up")?;
        ip(&format!("addr add {}/24 dev bridge", address_of(None)))?;
        let machines = (0..count).map(machine_on_bridge).collect::<Result<_>>()?;
        Ok(Self { machines, has_networks: true, cut: BTreeSet::new() })
    }

    /// Why there can be no namespaces here, if that is so.
    pub fn why_no_namespaces() -> Option<&'static str> {
        let has =
            |program| Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        // Whose process this is.
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if !is_root {
            return Some("needs root");
        }
        match (has("ip"), has("nft")) {
            (true, true) => None,
            (false, _) => Some("ip is missing: apt-get install iproute2"),
            (true, false) => Some("nft is missing: apt-get install nftables"),
        }
    }

    /// Whether links can be cut.
    pub fn has_networks(&self) -> bool {
        self.has_networks
    }

    /// How many machines.
    pub fn count(&self) -> usize {
        self.machines.len()
    }

    /// Where a machine is reached.
    pub fn address(&self, number: usize) -> IpAddr {
        if self.has_networks { address_of(Some(number)).into() } else { Ipv4Addr::LOCALHOST.into() }
    }

    /// The machine of that number.
    pub(super) fn machine(&self, number: usize) -> &Machine {
        &self.machines[number]
    }

    /// What a machine has sent since it was switched on, as its interfaces count it; none where all share one network.
    pub fn sent(&self, number: usize) -> Result<Option<Sent>> {
        if !self.has_networks {
            return Ok(None);
        }
        // Of the thread: what is `/proc/self` is the program, in another network.
        let read = || fs::read_to_string("/proc/thread-self/net/dev").context("the interfaces tell nothing");
        let text = self.machines[number].run(read)??;
        let of = |name: &str| sent_by(&text, name).with_context(|| format!("no interface {name}"));
        Ok(Some(Sent { outside: of("eth0")?, inside: of("lo")? }))
    }

    /// Has exactly these directions cut.
    pub fn cut(&mut self, directions: &BTreeSet<Direction>) -> Result<()> {
        ensure!(self.has_networks || directions.is_empty(), "there are no links to cut");
        for to in 0..self.machines.len() {
            let senders = |cut: &BTreeSet<Direction>| -> Vec<usize> {
                cut.iter().filter(|direction| direction.to == to).map(|direction| direction.from).collect()
            };
            let wanted = senders(directions);
            if wanted == senders(&self.cut) {
                continue;
            }
            let mut script = "flush set inet cut from\n".to_owned();
            for from in wanted {
                script += &format!("add element inet cut from {{ {} }}\n", address_of(Some(from)));
            }
            self.machines[to].run(move || nft(&script))??;
        }
        self.cut.clone_from(directions);
        Ok(())
    }

    /// Packets that cut links have lost so far; none where no link can be cut.
    pub fn lost_packets(&self) -> Result<Option<u64>> {
        if !self.has_networks {
            return Ok(None);
        }
        let lost = self.machines.iter().map(|machine| machine.run(lost_here)?);
        lost.sum::<Result<u64>>().map(Some)
    }
}

fn lost_here() -> Result<u64> {
    let output = Command::new("nft").args(["list", "counter", "inet", "cut", "lost"]).output().context("nft")?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    packets(&String::from_utf8_lossy(&output.stdout)).context("nft tells of no packets")
}

/// The number after the word, as nft writes a counter.
fn packets(told: &str) -> Option<u64> {
    told.split_whitespace().skip_while(|word| *word != "packets").nth(1)?.parse().ok()
}

/// What an interface sent: of its sixteen numbers the ninth.
fn sent_by(devices: &str, name: &str) -> Option<u64> {
    let mut lines = devices.lines().filter_map(|line| line.split_once(':'));
    let (_, numbers) = lines.find(|(found, _)| found.trim() == name)?;
    numbers.split_whitespace().nth(8)?.parse().ok()
}

fn name(number: usize) -> String {
    format!("machine-{number}")
}

/// Of a machine, or of this program on the bridge.
fn address_of(number: Option<usize>) -> Ipv4Addr {
    let host = number.map_or(254, |number| u8::try_from(number + 1).expect("few machines"));
    Ipv4Addr::new(10, 77, 0, host)
}

fn machine_on_bridge(number: usize) -> Result<Machine> {
    let machine = Machine::start(&name(number), true)?;
    ip(&format!("link add port{number} type veth peer name eth0 netns {}", machine.id()))?;
    ip(&format!("link set port{number} master bridge up"))?;
    let address = address_of(Some(number));
    machine.run(move || -> Result<()> {
        ip("link set lo up")?;
        ip(&format!("addr add {address}/24 dev eth0"))?;
        ip("link set eth0 up")?;
        nft(FIREWALL)
    })??;
    Ok(machine)
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("ip does not start")?;
    if !output.status.success() {
        bail!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn nft(script: &str) -> Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("nft does not start")?;
    child.stdin.take().context("a pipe was asked for")?.write_all(script.as_bytes()).context("nft does not read")?;
    let output = child.wait_with_output().context("nft")?;
    ensure!(output.status.success(), "nft: {}\n{script}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_as_nft_writes_it() {
        let told = "table inet cut {\n\tcounter lost {\n\t\tpackets 12 bytes 840\n\t}\n}\n";
        assert_eq!(packets(told), Some(12));
        for wrong in ["", "packets", "packets many bytes 1", "table inet cut { }"] {
            assert_eq!(packets(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_an_interface_sent_is_read() {
        let text = "Inter-|   Receive                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n    \
                    lo:     100       1    0    0    0     0          0         0      200       1    0\n  \
                    eth0: 12345678901  3    0    0    0     0          0         0 23456789012   4    0\n";
        assert_eq!(sent_by(text, "lo"), Some(200));
        assert_eq!(sent_by(text, "eth0"), Some(23_456_789_012));
        assert_eq!(sent_by(text, "eth1"), None);
        assert_eq!(sent_by("eth0: 1 2", "eth0"), None);
    }
}
