//! Opens zenoh with our settings, and tells its errors in our words.

use super::config::ZenohConfig;
use crate::envelope::MESSAGE_LIMIT;
use crate::error::BusError;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use tokio::runtime::{Handle, RuntimeFlavor};
use zenoh::Session;
use zenoh::config::Config;
use zenoh::internal::runtime::{Runtime, RuntimeBuilder};

/// Milliseconds until a silent link is given up; five keep-alives fit in. With this a lost machine is noticed within 3 s.
const LEASE_MS: u32 = 2500;
/// Microseconds that a full link may hold up all others before it is closed.
const HOLD_UP_US: u32 = 2_000_000;

/// Opens links and session; listens when it returns.
pub(super) async fn open(settings: &ZenohConfig) -> Result<(Runtime, Session), BusError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Err(failed("open", &"zenoh needs a tokio runtime of several threads"));
    }
    let credential = Credential::new(&settings.namespace).map_err(|error| failed("keep its credential", &error))?;
    let config = config(settings, &credential)?;
    let opened = async {
        let mut runtime = RuntimeBuilder::new(config).build().await?;
        let session = zenoh::session::init(runtime.clone().into()).await?;
        match runtime.start().await {
            Ok(()) => Ok((runtime, session)),
            Err(error) => {
                let _closed = runtime.close().await;
                Err(error)
            }
        }
    };
    opened.await.map_err(|error| explain(settings, &error))
}

/// Addresses on which this process listens, those of all interfaces written out.
pub(super) fn bound_addresses(runtime: &Runtime) -> Vec<SocketAddr> {
    let address = |locator: &zenoh::config::Locator| locator.as_str().strip_prefix("tcp/")?.parse().ok();
    runtime.get_locators().iter().filter_map(address).collect()
}

fn config(settings: &ZenohConfig, credential: &Credential) -> Result<Config, BusError> {
    let mut config = Config::default();
    for (key, value) in entries(settings, credential) {
        config.insert_json5(key, &value).map_err(|error| failed("be configured", &format!("{key}: {error}")))?;
    }
    Ok(config)
}

fn entries(settings: &ZenohConfig, credential: &Credential) -> Vec<(&'static str, String)> {
    let listen: Vec<String> = settings.listen.iter().map(|address| format!("tcp/{address}")).collect();
    let peers: Vec<String> = settings.static_peers.iter().map(|peer| format!("tcp/{peer}")).collect();
    let text = |entry: &str| entry.to_owned();
    vec![
        ("mode", text("\"peer\"")),
        // Every text in here is an address, a number or hexadecimal: `{:?}` writes them as JSON does.
        ("listen/endpoints", format!("{listen:?}")),
        ("connect/endpoints", format!("{peers:?}")),
        ("connect/timeout_ms", text("-1")),
        ("connect/exit_on_failure", text("false")),
        ("connect/retry", text("{ period_init_ms: 250, period_max_ms: 4000, period_increase_factor: 2 }")),
        ("open/return_conditions", text("{ connect_scouted: false, declares: false }")),
        ("scouting/multicast/enabled", text("false")),
        ("scouting/gossip/enabled", text("true")),
        ("transport/unicast/open_timeout", text("3000")),
        ("transport/unicast/accept_timeout", text("3000")),
        ("transport/link/tx/lease", LEASE_MS.to_string()),
        ("transport/link/tx/keep_alive", text("5")),
        ("transport/link/tx/queue/congestion_control/block/wait_before_close", HOLD_UP_US.to_string()),
        ("transport/link/rx/max_message_size", (MESSAGE_LIMIT + (64 << 10)).to_string()),
        ("transport/auth/usrpwd/user", text("\"exo\"")),
        ("transport/auth/usrpwd/password", format!("{:?}", credential.password)),
        ("transport/auth/usrpwd/dictionary_file", format!("{:?}", credential.path())),
    ]
}

/// What a link must show before a byte of content: derived from the namespace, so that two namespaces on one port
/// never meet. It separates clusters; it keeps no secret from who knows the namespace.
struct Credential {
    password: String,
    /// zenoh reads the accepted ones from a file; this one has no name and dies with the process.
    file: File,
}

impl Credential {
    fn new(namespace: &str) -> std::io::Result<Self> {
        let password = blake3::Hash::from(blake3::derive_key("exo bus 1: namespace credential", namespace.as_bytes()));
        let password = password.to_hex().to_string();
        let mut file = File::from(memfd_create(c"exo-bus-credential", MFdFlags::MFD_CLOEXEC)?);
        writeln!(file, "exo:{password}")?;
        Ok(Self { password, file })
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }
}

/// zenoh's errors are text; what a user can act on is found out by trying.
fn explain(settings: &ZenohConfig, error: &dyn std::fmt::Display) -> BusError {
    for address in settings.listen.iter().filter(|address| address.port() != 0) {
        match TcpListener::bind(address) {
            Err(taken) if taken.kind() == std::io::ErrorKind::AddrInUse => {
                return BusError::PortInUse { port: address.port(), key: settings.port_key };
            }
            Err(other) => return BusError::Listen { address: address.to_string(), reason: other.to_string() },
            Ok(_) => {}
        }
    }
    failed("open", error)
}

pub(super) fn failed(action: &'static str, reason: &dyn std::fmt::Display) -> BusError {
    BusError::Transport { action, reason: reason.to_string() }
}
