//! Looks at the machine. Every wait has a deadline; nothing is changed.

use super::Unit;
use super::facts::{Certificate, Facts, Limits, Port, PortState, Storage};
use crate::client::Client;
use crate::error::CliError;
use exo_config::{Config, Networking};
use exo_hardware::{Disk, GpuQuestions, Sysfs, clock_state, gpus, interfaces, missing_mount, nics, rdma_devices};
use exo_identity::IdentityStore;
use exo_service::Configuration;
use exo_types::{Memory, ModelCard, ModelId};
use serde_json::Value;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

/// A disk that does not answer by then hangs.
const DISK: Duration = Duration::from_secs(10);
/// A peer that does not answer by then is away.
const PEER: Duration = Duration::from_secs(3);

/// Looks at everything; for a unit at what it needs, and asks nobody else.
pub(super) fn gather(configuration: &Configuration, unit: Option<Unit>) -> Result<Facts, CliError> {
    let system = CliError::system("cannot start");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let facts = runtime.block_on(look(configuration, unit));
    // Whatever hangs in a disk or a driver is left behind.
    runtime.shutdown_background();
    Ok(facts)
}

async fn look(configuration: &Configuration, unit: Option<Unit>) -> Facts {
    let config = configuration.loaded.config.clone();
    let sysfs = Sysfs::host();
    let on_disk = on_disk(&config);
    let everything = unit.is_none();
    let others = async {
        match everything {
            true => tokio::join!(peers(&config.networking.peers), nodes(&config)),
            false => (Vec::new(), None),
        }
    };
    let ((storage, models, certificate), (peers, nodes)) = tokio::join!(on_disk, others);
    Facts {
        config_warnings: configuration.loaded.warnings.clone(),
        ports: ports(&config, unit),
        addresses: interfaces().into_iter().map(|interface| interface.address).collect(),
        now: SystemTime::now(),
        clock: clock_state(),
        storage,
        runner: exo_worker::Settings::new(&config).err().map(|error| error.to_string()),
        resources: exo_hardware::resources(config.runner.memory_reserve),
        nodes,
        models,
        limits: limits(&fs::read_to_string("/proc/self/limits").unwrap_or_default()),
        peers,
        certificate,
        gpus: if everything { gpus(&sysfs, GpuQuestions::default()) } else { Vec::new() },
        nics: nics(&sysfs, &[]),
        rdma: rdma_devices(&sysfs),
        config,
    }
}

type Placed = Vec<(ModelId, Option<ModelCard>)>;

/// What lies on disks, which may hang.
async fn on_disk(config: &Config) -> (Storage, Placed, Certificate) {
    let config = config.clone();
    let looking = spawn_blocking(move || (storage(&config), placed(&config), certificate(&config.data_dir)));
    match timeout(DISK, looking).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => (Storage { hangs: true, ..Storage::default() }, Vec::new(), Certificate::None),
    }
}

fn storage(config: &Config) -> Storage {
    let sysfs = Sysfs::host();
    let data_dir = fs::canonicalize(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let directories = || {
        let models = config.models.dirs.iter().map(|dir| ("models.dirs", dir));
        [("dataDir", &data_dir)].into_iter().chain(models)
    };
    let missing = directories().filter_map(|(key, path)| Some((key, path.clone(), missing_mount(&sysfs, path)?)));
    let models = config.models.dirs.iter().filter_map(|path| {
        let error = fs::read_dir(path).err()?;
        Some(("models.dirs", path.clone(), error.to_string()))
    });
    let files = [("api.keyFile", &config.api.key_file), ("security.joinTokenFile", &config.security.join_token_file)];
    let files = files.into_iter().filter_map(|(key, path)| {
        let path = path.as_ref()?;
        let error = fs::File::open(path).err()?;
        Some((key, path.clone(), error.to_string()))
    });
    let tls = config.api.tls.files().and_then(|(certificate, key)| exo_http::Certificate::read(certificate, key).err());
    Storage {
        data_dir: writable(&data_dir).err().map(|error| error.to_string()),
        unreadable: models.chain(files).collect(),
        tls: tls.map(|error| error.to_string()),
        missing_mounts: missing.collect(),
        disk: Disk::of(&sysfs, &data_dir),
        hangs: false,
    }
}

/// A nameless file in the directory, or in the one in which it would be made.
fn writable(directory: &Path) -> io::Result<()> {
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        Ok(_) => tempfile::tempfile_in(directory).map(|_file| ()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match directory.parent() {
            Some(parent) => writable(parent),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

fn placed(config: &Config) -> Placed {
    let wanted = &config.models.place;
    if wanted.is_empty() {
        return Vec::new();
    }
    let scan = exo_worker::model_store(config).scan();
    let card = |model: &ModelId| scan.models.get(model).map(|found| found.card.clone());
    wanted.iter().map(|model| (model.clone(), card(model))).collect()
}

fn certificate(data_dir: &Path) -> Certificate {
    let parts = match IdentityStore::new(data_dir).load() {
        Ok(Some(parts)) => parts,
        Ok(None) => return Certificate::None,
        Err(error) => return Certificate::Unreadable(error.to_string()),
    };
    match exo_identity::Facts::read(&parts.certificate) {
        Ok(facts) => Certificate::Found {
            not_before: facts.not_before,
            not_after: facts.not_after,
            has_authority: parts.authority_key.is_some(),
        },
        Err(error) => Certificate::Unreadable(error.to_string()),
    }
}

/// All at once.
async fn peers(peers: &[String]) -> Vec<(String, Result<(), String>)> {
    let mut tries = JoinSet::new();
    for peer in peers.iter().cloned() {
        tries.spawn(async move {
            let answer = match timeout(PEER, TcpStream::connect(&peer)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("nothing within {PEER:?}")),
            };
            (peer, answer)
        });
    }
    let mut told: Vec<_> = tries.join_all().await;
    told.sort();
    told
}

/// What this machine's api knows. It need not run.
async fn nodes(config: &Config) -> Option<u64> {
    let client = Client::own(&config.api, None);
    let ready: Value = timeout(PEER, client.get("/readyz")).await.ok()?.ok()?;
    ready.get("nodes")?.as_u64()
}

/// The role whose lock file tells who holds a port, the key, the port, and the unit.
fn listeners(networking: &Networking) -> [(&'static str, &'static str, u16, Unit); 3] {
    [
        ("master", "networking.clusterPort", networking.cluster_port, Unit::Master),
        ("worker", "networking.workerPort", networking.worker_port, Unit::Worker),
        ("api", "networking.apiPort", networking.api_port, Unit::Api),
    ]
}

fn ports(config: &Config, unit: Option<Unit>) -> Vec<Port> {
    let networking = &config.networking;
    let everywhere = if networking.loopback_only {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]
    } else {
        vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
    };
    let bus = if networking.listen_addresses.is_empty() { everywhere } else { networking.listen_addresses.clone() };
    let api = ("api", "api.port", config.api.port, Unit::Api, vec![config.api.bind]);
    let listeners = listeners(networking).map(|(role, key, port, of)| (role, key, port, of, bus.clone()));
    let mut ports: Vec<Port> = Vec::new();
    for (role, key, port, of, addresses) in listeners.into_iter().chain([api]) {
        let is_asked = unit.is_none_or(|unit| unit == of);
        if port == 0 || !is_asked {
            continue;
        }
        for address in addresses {
            let address = SocketAddr::new(address, port);
            let state = state_of(address, || exo_runs(&config.data_dir, role));
            // Two families of one port: once is enough.
            if state != PortState::Free && ports.iter().all(|known| known.key != key) {
                ports.push(Port { key, address, state });
            }
        }
    }
    ports
}

/// Listens for a moment.
fn state_of(address: SocketAddr, exo_runs: impl Fn() -> bool) -> PortState {
    match TcpListener::bind(address) {
        Ok(_) => PortState::Free,
        Err(error) => match error.kind() {
            io::ErrorKind::AddrInUse if exo_runs() => PortState::HeldByExo,
            io::ErrorKind::AddrInUse => PortState::Taken,
            // Addresses that are not there are judged by themselves; a machine may also have no IPv6 at all.
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported => PortState::Free,
            io::ErrorKind::PermissionDenied => PortState::Refused(error.to_string()),
            _ => PortState::Free,
        },
    }
}

/// Whether the process that wrote its number into the role's lock is exo, and still there. The lock itself is not tried:
/// a service that starts at this moment would find it taken.
fn exo_runs(data_dir: &Path, role: &str) -> bool {
    let holder = fs::read_to_string(data_dir.join(format!("{role}.lock"))).unwrap_or_default();
    let Ok(process) = holder.trim().parse::<u32>() else { return false };
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.starts_with("exo")
}

/// `Max open files            1024                 524288               files`: the soft limit counts.
fn limits(text: &str) -> Limits {
    let soft = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    Limits { open_files: soft("Max open files"), locked_memory: soft("Max locked memory").map(Memory::bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_unlimited_is_none() {
        let text = "\
Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 524288               files
Max locked memory         unlimited            unlimited            bytes
";
        assert_eq!(limits(text), Limits { open_files: Some(1024), locked_memory: None });
        assert_eq!(limits(""), Limits::default());
    }

    #[test]
    fn a_directory_that_can_be_made_is_as_good_as_one_that_is_there() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        assert!(writable(folder.path()).is_ok());
        assert!(writable(&folder.path().join("a/b")).is_ok());
        let file = folder.path().join("file");
        fs::write(&file, "").expect("it is written");
        assert!(writable(&file).is_err() && writable(&file.join("data")).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_port_is_free_taken_or_exos_own() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        assert_eq!(state_of(address, || false), PortState::Taken);
        assert_eq!(state_of(address, || true), PortState::HeldByExo);
        drop(listener);
        assert_eq!(state_of(address, || false), PortState::Free);
    }

    #[test]
    fn a_lock_tells_of_exo_only_while_its_process_is_exo() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (content, expect) in [("", false), ("nonsense", false), ("4294967295", false), ("1", false)] {
            fs::write(folder.path().join("api.lock"), content).expect("it is written");
            assert_eq!(exo_runs(folder.path(), "api"), expect, "{content:?}");
        }
    }
}
