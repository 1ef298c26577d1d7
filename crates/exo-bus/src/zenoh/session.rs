//! Opens zenoh behind the tunnel, and tells its errors in our words.

use super::tunnel::Nook;
use crate::envelope::MESSAGE_LIMIT;
use crate::error::BusError;
use tokio::runtime::{Handle, RuntimeFlavor};
use zenoh::Session;
use zenoh::config::Config;
use zenoh::internal::runtime::{Runtime, RuntimeBuilder};

/// Milliseconds that zenoh bears silence, and how many times it speaks within them. The tunnel notices much sooner who is
/// gone or hangs, and zenoh's links end with its own.
const LEASE_MS: u32 = 600_000;
const KEEP_ALIVES: u32 = 4;
/// Microseconds that a full link may hold up all others before it is closed.
const HOLD_UP_US: u32 = 2_000_000;

/// Opens the session; it listens when this returns, on a local socket that the tunnel alone can reach.
pub(super) async fn open(nook: &Nook) -> Result<(Runtime, Session), BusError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Err(failed("open", &"zenoh needs a tokio runtime of several threads"));
    }
    let config = config(nook)?;
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
    opened.await.map_err(|error: zenoh::Error| failed("open", &error))
}

fn config(nook: &Nook) -> Result<Config, BusError> {
    let mut config = Config::default();
    for (key, value) in entries(nook) {
        config.insert_json5(key, &value).map_err(|error| failed("be configured", &format!("{key}: {error}")))?;
    }
    Ok(config)
}

fn entries(nook: &Nook) -> Vec<(&'static str, String)> {
    let text = |entry: &str| entry.to_owned();
    let listen = format!("unixsock-stream/{}", nook.listener().display());
    vec![
        ("mode", text("\"peer\"")),
        // `{:?}` writes a path as JSON does, but for what stands in no path of ours.
        ("listen/endpoints", format!("[{listen:?}]")),
        ("connect/endpoints", text("[]")),
        ("open/return_conditions", text("{ connect_scouted: false, declares: false }")),
        ("scouting/multicast/enabled", text("false")),
        // The tunnel tells who is where.
        ("scouting/gossip/enabled", text("false")),
        ("transport/unicast/open_timeout", text("3000")),
        ("transport/unicast/accept_timeout", text("3000")),
        ("transport/link/protocols", text("[\"unixsock-stream\"]")),
        ("transport/link/tx/lease", LEASE_MS.to_string()),
        ("transport/link/tx/keep_alive", KEEP_ALIVES.to_string()),
        ("transport/link/tx/queue/congestion_control/block/wait_before_close", HOLD_UP_US.to_string()),
        ("transport/link/rx/max_message_size", (MESSAGE_LIMIT + (64 << 10)).to_string()),
    ]
}

pub(super) fn failed(action: &'static str, reason: &dyn std::fmt::Display) -> BusError {
    BusError::Transport { action, reason: reason.to_string() }
}
