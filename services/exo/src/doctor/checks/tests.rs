use super::*;
use crate::doctor::facts::{Certificate, Limits, Port, PortState, Storage};
use exo_config::{Config, Mode, Sources, Surroundings, load};
use exo_hardware::{Availability, Bond, ClockState, Disk, DiskKind, Leg, Nic, NicKind, RdmaDevice, RdmaPort};
use exo_types::{Memory, NodeResources};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod models;

const DAY: Duration = Duration::from_secs(86_400);

fn config() -> Config {
    let surroundings = Surroundings { host_name: "atlas".to_owned(), data_dir: "/var/lib/exo".to_owned() };
    let sources = Sources { surroundings, file: None, environment: Vec::new(), flags: Vec::new() };
    load(&sources).expect("the defaults are good").config
}

/// The 14th of November 2023 is too early; this is the 20th of December 2026.
fn now() -> SystemTime {
    UNIX_EPOCH + DAY * 20_807
}

/// A machine on which everything is as it should be.
fn healthy() -> Facts {
    let certificate = Certificate::Found { not_before: now() - DAY, not_after: now() + DAY * 29, has_authority: false };
    Facts {
        config: config(),
        config_warnings: Vec::new(),
        ports: vec![port(PortState::Free), port(PortState::HeldByExo)],
        addresses: vec!["10.0.0.7".parse().expect("an address")],
        now: now(),
        clock: ClockState::Synchronised,
        storage: Storage { disk: Some(disk(500_000)), ..Storage::default() },
        runner: None,
        resources: NodeResources { ram_total: Memory::mib(8 << 10), ram_available: Memory::mib(7 << 10) },
        nodes: None,
        models: Vec::new(),
        limits: Limits { open_files: Some(1024), locked_memory: Some(Memory::mib(8)) },
        peers: vec![("10.0.0.8:52414".to_owned(), Ok(()))],
        certificate,
        gpus: Vec::new(),
        nics: Vec::new(),
        rdma: Vec::new(),
    }
}

fn port(state: PortState) -> Port {
    Port { key: "api.port", address: "127.0.0.1:52415".parse().expect("an address"), state }
}

fn disk(free_mib: u64) -> Disk {
    Disk {
        directory: "/var/lib/exo".into(),
        mount: "/".into(),
        file_system: "ext4".to_owned(),
        source: "/dev/sda1".to_owned(),
        kind: DiskKind::Solid,
        read_only: false,
        total: Some(Memory::mib(1_000_000)),
        free: Some(Memory::mib(free_mib)),
    }
}

/// Changes the healthy machine, and expects exactly these findings: severity, and a part of the message and of the
/// remedy.
fn check(change: impl Fn(&mut Facts), expect: &[(Severity, &str, &str)]) -> Facts {
    let mut facts = healthy();
    change(&mut facts);
    let found = all(&facts, None);
    assert_eq!(found.len(), expect.len(), "{found:?}");
    for (finding, (severity, message, remedy)) in found.iter().zip(expect) {
        assert_eq!(finding.severity, *severity, "{finding}");
        assert!(finding.message.contains(message), "{finding}");
        assert!(finding.remedy.contains(remedy), "{finding}");
    }
    facts
}

use Severity::{Error, Warning};

#[test]
fn on_a_healthy_machine_nothing_is_found() {
    check(|_| {}, &[]);
}

#[test]
fn a_port_that_another_program_has_is_named_with_its_key() {
    check(|facts| facts.ports = vec![port(PortState::Taken)], &[(Error, "port 52415 (api.port)", "ss -ltnp")]);
    let refused = PortState::Refused("permission denied".to_owned());
    check(|facts| facts.ports = vec![port(refused.clone())], &[(Error, "permission denied", "above 1023")]);
}

#[test]
fn an_address_that_no_interface_has_is_named_with_its_key() {
    let address = |text: &str| text.parse().expect("an address");
    let listen =
        |facts: &mut Facts| facts.config.networking.listen_addresses = vec![address("10.0.0.7"), address("10.0.0.9")];
    check(listen, &[(Error, "10.0.0.9 (networking.listenAddresses)", "ip address")]);
    check(|facts| facts.config.api.bind = address("10.0.0.9"), &[(Error, "(api.bind)", "api.bind")]);
    check(|facts| facts.config.api.bind = address("0.0.0.0"), &[]);
    let advertise = |facts: &mut Facts| facts.config.networking.advertise_address = Some(address("203.0.113.9"));
    check(advertise, &[(Warning, "networking.advertiseAddress", "router")]);
}

#[test]
fn a_silent_peer_is_a_warning_and_an_error_where_a_worker_has_no_other_way() {
    let silent = |facts: &mut Facts| facts.peers[0].1 = Err("refused".to_owned());
    check(silent, &[(Warning, "peer 10.0.0.8:52414", "firewall")]);
    let alone = |facts: &mut Facts| {
        silent(facts);
        facts.config.mode = Mode::Worker;
        facts.config.networking.multicast = false;
    };
    check(alone, &[(Error, "refused", "networking.peers")]);
    let not_alone = |facts: &mut Facts| {
        alone(facts);
        facts.peers.push(("10.0.0.6:52414".to_owned(), Ok(())));
    };
    check(not_alone, &[(Warning, "refused", "networking.peers")]);
}

#[test]
fn a_data_directory_is_there_writable_mounted_and_has_room() {
    check(
        |facts| facts.storage.data_dir = Some("permission denied".to_owned()),
        &[(Error, "cannot be written to", "user that runs exo")],
    );
    check(|facts| facts.storage.hangs = true, &[(Error, "does not answer", "dmesg")]);
    let lost = |key: &'static str| {
        move |facts: &mut Facts| {
            facts.storage.missing_mounts = vec![(key, PathBuf::from("/srv/exo"), PathBuf::from("/srv"))];
        }
    };
    check(lost("dataDir"), &[(Error, "nothing is mounted there", "RequiresMountsFor=/srv/exo")]);
    check(lost("models.dirs"), &[(Warning, "models.dirs /srv/exo lies below /srv", "mount /srv")]);
    check(|facts| facts.storage.disk = Some(disk(100)), &[(Error, "100.0 MiB left", "make room")]);
    check(|facts| facts.storage.disk = Some(disk(1000)), &[(Warning, "1000.0 MiB left", "make room")]);
    let memory = |facts: &mut Facts| facts.storage.disk = Some(Disk { kind: DiskKind::Memory, ..disk(9000) });
    check(memory, &[(Warning, "a restart forgets it", "dataDir")]);
}

#[test]
fn files_that_cannot_be_read_are_named_with_their_keys() {
    let unreadable = |key: &'static str| {
        move |facts: &mut Facts| facts.storage.unreadable = vec![(key, PathBuf::from("/x"), "no such file".to_owned())]
    };
    check(unreadable("api.keyFile"), &[(Error, "/x (api.keyFile)", "api.keyFile")]);
    let tls = |facts: &mut Facts| facts.storage.tls = Some("`api.tls.key` /x cannot be read".to_owned());
    check(tls, &[(Error, "/x", "speaks HTTP")]);
    check(unreadable("models.dirs"), &[(Warning, "/x (models.dirs)", "models.dirs")]);
}

#[test]
fn a_clock_before_exo_and_one_that_nobody_keeps_are_told() {
    let at = |days: u32| move |facts: &mut Facts| facts.now = UNIX_EPOCH + DAY * days;
    let mut early = healthy();
    at(0)(&mut early);
    early.certificate = Certificate::None;
    let found = all(&early, None);
    assert!(found[0].message.contains("it is 1970") && found[0].severity == Error, "{found:?}");
    let late = |facts: &mut Facts| {
        at(50_000)(facts);
        facts.certificate = Certificate::None;
    };
    check(late, &[(Error, "it is 2106", "timedatectl")]);
    check(|facts| facts.clock = ClockState::Unsynchronised, &[(Warning, "nothing keeps the clock right", "chrony")]);
    check(|facts| facts.clock = ClockState::Unknown, &[]);
}

#[test]
fn a_certificate_is_judged_by_its_time_and_by_who_can_renew_it() {
    let of = |from: i64, until: i64, has_authority| {
        move |facts: &mut Facts| {
            let at = |days: i64| match u32::try_from(days) {
                Ok(days) => now() + DAY * days,
                Err(_) => now() - DAY * u32::try_from(-days).expect("a few days"),
            };
            facts.certificate = Certificate::Found { not_before: at(from), not_after: at(until), has_authority };
        }
    };
    check(of(-27, 3, false), &[(Warning, "expires in 3 days", "start a master")]);
    check(of(-40, -10, false), &[(Error, "expired 10 days ago", "exo cluster join")]);
    check(of(-40, -10, true), &[]);
    check(of(3, 33, true), &[(Error, "valid only in 3 days", "clock")]);
    check(|facts| facts.certificate = Certificate::None, &[]);
    let damaged = |facts: &mut Facts| facts.certificate = Certificate::Unreadable("node.key is damaged".to_owned());
    check(damaged, &[(Error, "node.key is damaged", "user that runs exo")]);
}

#[test]
fn limits_are_enough_for_sockets_and_for_rdma() {
    check(|facts| facts.limits.open_files = Some(256), &[(Warning, "only 256 files", "LimitNOFILE")]);
    let rdma = |facts: &mut Facts| facts.rdma = vec![device(Availability::Ready)];
    check(rdma, &[(Warning, "lock only 8.0 MiB", "LimitMEMLOCK=infinity")]);
    let enough = |facts: &mut Facts| {
        rdma(facts);
        facts.limits.locked_memory = None;
    };
    check(enough, &[]);
}

fn device(availability: Availability) -> RdmaDevice {
    let port = RdmaPort {
        number: 1,
        state: "ACTIVE".to_owned(),
        link_layer: "Ethernet".to_owned(),
        speed_mbit: None,
        gids: Vec::new(),
    };
    RdmaDevice {
        name: "mlx5_0".to_owned(),
        driver: None,
        firmware: None,
        guid: None,
        numa_node: None,
        ports: vec![port],
        availability,
    }
}

#[test]
fn devices_that_cannot_be_opened_and_lost_legs_are_told() {
    let closed = Availability::NoPermission { path: "/dev/infiniband/uverbs0".to_owned() };
    let rdma = |facts: &mut Facts| {
        facts.rdma = vec![device(closed.clone())];
        facts.limits.locked_memory = None;
    };
    check(rdma, &[(Warning, "mlx5_0 cannot be used", "group of /dev/infiniband/uverbs0")]);
    let leg = |name: &str, up| Leg { name: name.to_owned(), up, speed_mbit: None, failures: None };
    let legs = vec![leg("eth0", true), leg("eth1", false)];
    let bond = |facts: &mut Facts| {
        facts.nics = vec![Nic {
            name: "bond0".to_owned(),
            kind: NicKind::Bond,
            up: true,
            speed_mbit: None,
            mtu: None,
            mac: None,
            driver: None,
            numa_node: None,
            addresses: Vec::new(),
            bond: Some(Bond { mode: "802.3ad".to_owned(), active: None, miimon: None, legs: legs.clone() }),
            member_of: None,
            rdma: Vec::new(),
        }];
    };
    check(bond, &[(Warning, "bond0 has lost eth1", "cable")]);
}

#[test]
fn without_a_runner_only_a_master_works() {
    let missing = |facts: &mut Facts| facts.runner = Some("there is no exo-runner".to_owned());
    check(missing, &[(Error, "there is no exo-runner", "runner.program")]);
    let master = |facts: &mut Facts| {
        missing(facts);
        facts.config.mode = Mode::Master;
    };
    check(master, &[]);
}

#[test]
fn a_unit_is_told_only_what_prevents_its_service() {
    let mut facts = healthy();
    facts.runner = Some("there is no exo-runner".to_owned());
    facts.storage.unreadable = vec![("api.keyFile", PathBuf::from("/x"), "no such file".to_owned())];
    facts.storage.tls = Some("`api.tls.key` /x cannot be read".to_owned());
    facts.clock = ClockState::Unsynchronised;
    facts.certificate =
        Certificate::Found { not_before: now() - DAY * 40, not_after: now() - DAY, has_authority: false };
    let told = |unit| all(&facts, Some(unit)).iter().map(|finding| finding.check).collect::<Vec<_>>();
    assert_eq!(told(Unit::Master), [""; 0]);
    assert_eq!(told(Unit::Worker), ["runner"]);
    assert_eq!(told(Unit::Api), ["keyFile", "tls"]);
    facts.storage.missing_mounts = vec![("dataDir", PathBuf::from("/srv/exo"), PathBuf::from("/srv"))];
    let found = all(&facts, Some(Unit::Master));
    let line = "error: dataDir /srv/exo lies below /srv, which /etc/fstab mounts, and nothing is mounted there; \
                `mount /srv`; for the units: RequiresMountsFor=/srv/exo";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [line]);
}
