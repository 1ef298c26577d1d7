//! The connection.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;
use zbus::Connection;
use zbus::connection::Builder;

/// No call waits longer: a daemon that is stuck must not hold anybody up.
const DEADLINE: Duration = Duration::from_secs(3);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Refused, or nobody is there.
    #[error("{0}")]
    Refused(#[from] zbus::Error),
    /// No answer.
    #[error("no answer over D-Bus within {DEADLINE:?}")]
    Late,
}

/// systemd's daemons, over one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Systemd(pub(crate) Connection);

impl Systemd {
    /// Of the whole machine; none where there is no system bus.
    pub async fn of_machine() -> Option<Self> {
        connect(Builder::system().ok()?).await
    }

    /// The manager that starts processes for this user: the machine's for root, else that of the user's session.
    pub async fn of_user() -> Option<Self> {
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            return Self::of_machine().await;
        }
        let runtime_directory = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
        let socket = runtime_directory.join("bus");
        connect(Builder::address(format!("unix:path={}", socket.display()).as_str()).ok()?).await
    }

    /// Over a socket whose other end is the daemon itself, without a bus between: for tests.
    pub async fn at(socket: UnixStream) -> Result<Self, BusError> {
        socket.set_nonblocking(true).map_err(zbus::Error::from)?;
        let socket = tokio::net::UnixStream::from_std(socket).map_err(zbus::Error::from)?;
        Ok(Self(within(Builder::unix_stream(socket).p2p().build()).await?))
    }
}

async fn connect(builder: Builder<'_>) -> Option<Systemd> {
    match within(builder.build()).await {
        Ok(connection) => Some(Systemd(connection)),
        Err(error) => {
            tracing::debug!(%error, "there is no D-Bus here");
            None
        }
    }
}

/// Bounds a call.
pub(crate) async fn within<T>(call: impl Future<Output = zbus::Result<T>>) -> Result<T, BusError> {
    Ok(timeout(DEADLINE, call).await.map_err(|_| BusError::Late)??)
}
